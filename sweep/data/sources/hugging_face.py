"""Hugging Face `datasets`: a hub name, a local data set folder, or one written by save_to_disk; streamed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fitting.errors import InputError
from sweep.data.settings import DataSettings
from sweep.data.sources.files import files_of
from sweep.data.sources.jsonl import document
from sweep.data.sources.part import Document, Part

ROWS_A_PART = 20_000  # of a data set on disk


def parts(settings: DataSettings, domain: str | None, path: str) -> list[Part]:
    """Shards of a stream, or ranges of rows of a data set that was saved to disk."""
    found = _open(settings, path)
    name = domain or path.rstrip("/").split("/")[-1].partition("#")[0]
    if is_on_disk(path):
        ranges = [(start, min(start + ROWS_A_PART, len(found))) for start in range(0, len(found), ROWS_A_PART)]
    else:
        ranges = [(shard, found.num_shards) for shard in range(found.num_shards)]
    local = files_of(path) if Path(path).expanduser().exists() else []
    size, changed = sum(file.size for file in local), max((file.changed for file in local), default=0.0)
    return [
        Part("hugging_face", name, (path,), (size,), (changed,), start=start, stop=stop, weight=1)
        for start, stop in ranges
    ]


def read(settings: DataSettings, part: Part) -> Iterator[Document | None]:
    (path,) = part.files
    assert part.stop is not None
    found = _open(settings, path)
    if is_on_disk(path):
        rows = found.select(range(part.start, part.stop))
    else:
        rows = found.shard(num_shards=part.stop, index=part.start) if part.stop > 1 else found
    try:
        for row in rows:
            yield document(row, settings, part.domain, path)
    except InputError:
        raise
    except Exception as error:  # the library and what it calls raise many kinds
        raise InputError(f"data.path {path!r} cannot be read: {_words(error)}. Restore it or leave it out") from None


def is_on_disk(path: str) -> bool:
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
        if is_on_disk(name):
            found = datasets.load_from_disk(str(Path(name).expanduser()))
            if not isinstance(found, datasets.DatasetDict):
                return found
            if settings.split not in found:
                raise ValueError(f"its splits are {', '.join(map(str, found))}")
            return found[settings.split]
        return datasets.load_dataset(name, config or None, split=settings.split, streaming=True)
    except Exception as error:  # as above
        raise InputError(f"data.path {path!r}, split {settings.split!r}, cannot be loaded: {_words(error)}") from None


def _words(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
