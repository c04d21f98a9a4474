"""Hugging Face `datasets`: a hub name, a local data set folder, or one written by save_to_disk; streamed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fitting.errors import InputError
from sweep.data.settings import DataSettings
from sweep.data.sources.jsonl import document
from sweep.data.sources.part import Document, Part

ROWS_A_PART = 20_000  # of a data set on disk


def parts(settings: DataSettings, domain: str | None, path: str) -> list[Part]:
    """Shards of a stream, or ranges of rows of a data set that was saved to disk."""
    found = _open(settings, path)
    name = domain or path.rstrip("/").split("/")[-1].partition("#")[0]
    if _on_disk(path):
        return [
            Part("hugging_face", name, (path,), start=start, stop=min(start + ROWS_A_PART, len(found)), weight=1)
            for start in range(0, len(found), ROWS_A_PART)
        ]
    return [
        Part("hugging_face", name, (path,), start=shard, stop=found.num_shards, weight=1)
        for shard in range(found.num_shards)
    ]


def read(settings: DataSettings, part: Part) -> Iterator[Document | None]:
    (path,) = part.files
    assert part.stop is not None
    found = _open(settings, path)
    if _on_disk(path):
        rows = found.select(range(part.start, part.stop))
    else:
        rows = found.shard(num_shards=part.stop, index=part.start) if part.stop > 1 else found
    for row in rows:
        yield document(row, settings, part.domain, path)


def _on_disk(path: str) -> bool:
    return (Path(path).expanduser() / "dataset_info.json").is_file() or (
        Path(path).expanduser() / "dataset_dict.json"
    ).is_file()


def _open(settings: DataSettings, path: str) -> Any:
    """`path` is NAME or NAME#CONFIG."""
    try:
        import datasets
    except ImportError:
        raise InputError("Hugging Face data needs the datasets library: pip install 'isoflop[hf]'") from None
    name, _, config = path.partition("#")
    try:
        if _on_disk(name):
            found = datasets.load_from_disk(str(Path(name).expanduser()))
            return found[settings.split] if isinstance(found, datasets.DatasetDict) else found
        return datasets.load_dataset(name, config or None, split=settings.split, streaming=True)
    except Exception as error:  # the library and what it calls raise many kinds
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"data.path {path!r}, split {settings.split!r}, cannot be loaded: {words}") from None
