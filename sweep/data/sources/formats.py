"""Which reader reads what? By the name of the format, or guessed from file names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import ModuleType

from fitting.errors import InputError
from sweep.data.settings import DataSettings
from sweep.data.sources import hugging_face, jsonl, megatron, parquet, python_source, shards, synthetic, text
from sweep.data.sources.files import COMPRESSIONS, files_of
from sweep.data.sources.part import Document, Part

FORMATS: dict[str, ModuleType] = {
    "text": text,
    "jsonl": jsonl,
    "parquet": parquet,
    "hugging_face": hugging_face,
    "tokens": shards,
    "megatron": megatron,
    "synthetic": synthetic,
    "python_source": python_source,
}
PATHLESS = ("synthetic", "python_source")
TOKENISED = ("tokens", "megatron", "synthetic")  # whose documents are tokens already
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".idx": "megatron", ".bin": "tokens"}


def parts(settings: DataSettings) -> list[Part]:
    """All parts of all paths, in a fixed order. Raises InputError."""
    if settings.source not in (*FORMATS, "auto"):
        raise InputError(f"data.source is {settings.source!r}; allowed are {', '.join(FORMATS)}, auto and prepared")
    if settings.source in PATHLESS:
        return FORMATS[settings.source].parts(settings, None, "")
    if not settings.paths:
        raise InputError(f"data.path is not set; data={settings.source} needs one, such as data.path=my_texts")
    made: list[Part] = []
    for domain, path in settings.paths:
        made += FORMATS[_format(settings, path)].parts(settings, domain, path)
    for path in settings.held_out_paths:
        found = FORMATS[_format(settings, path)].parts(settings, None, path)
        made += [dataclasses.replace(part, held_out=True) for part in found]
    if not made:
        raise InputError(f"data.path {settings.paths[0][1]!r} holds nothing but empty files; give one with documents")
    return made


def read(settings: DataSettings, part: Part) -> Iterator[Document | None]:
    """The documents of a part; None for each one that is no text. Raises InputError."""
    return FORMATS[part.format].read(settings, part)


def formats(settings: DataSettings) -> set[str]:
    """Of all paths."""
    if settings.source in PATHLESS:
        return {settings.source}
    return {_format(settings, path) for _, path in settings.paths}


def _format(settings: DataSettings, path: str) -> str:
    if settings.source != "auto":
        return settings.source
    if path.startswith("hf:"):
        raise InputError(f"{path!r}: give the name without 'hf:' and the format as hugging_face")
    if hugging_face.is_on_disk(path):
        return "hugging_face"
    found = {_guess(file.url) for file in files_of(path)}
    if {"tokens", "megatron"} <= found:
        found -= {"tokens"}  # a .bin beside its .idx
    if len(found) > 1:
        raise InputError(
            f"{path!r} holds files of several formats ({', '.join(sorted(found))}); say which one to read: data=text "
            f"in a sweep, --format text for python -m sweep.data"
        )
    return found.pop()


def _guess(url: str) -> str:
    for suffix in COMPRESSIONS:
        url = url.removesuffix(suffix)
    if url.endswith(".json") or "." not in url.rsplit("/", 1)[-1]:
        return "text"
    return _SUFFIXES.get("." + url.rsplit(".", 1)[-1], "text")
