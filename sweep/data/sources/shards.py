"""Tokens that are there already: .bin files of nanoGPT (no header) and of llm.c (header of 256 int32)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from fitting.errors import InputError
from sweep.data.settings import DataSettings
from sweep.data.sources.files import File, files_of, opened
from sweep.data.sources.part import Document, Part

PART_TOKENS = 16_000_000
HEADER_BYTES = 256 * 4
VALIDATION = re.compile(r"(^|[^a-z])e?val(id|idation)?([^a-z]|$)")  # both projects call the held-out file "val"
# llm.c dev/data/data_common.py: magic number of the header, and the type that its version means.
MAGIC = {20240520: {1: np.dtype("<u2")}, 20240801: {7: np.dtype("<u4")}}


def parts(settings: DataSettings, domain: str | None, path: str) -> list[Part]:
    made = []
    for file in files_of(path):
        if not file.url.endswith(".bin"):
            continue
        offset, dtype, tokens = _layout(file)
        for start in range(0, tokens, PART_TOKENS):
            stop = min(start + PART_TOKENS, tokens)
            made.append(
                Part(
                    "tokens",
                    domain or "text",
                    (file.url,),
                    (file.size,),
                    (file.changed,),
                    start=offset + start * dtype.itemsize,
                    stop=offset + stop * dtype.itemsize,
                    weight=(stop - start) * dtype.itemsize,
                    held_out=VALIDATION.search(file.name.rsplit("/", 1)[-1]) is not None,
                    named=file.named,
                )
            )
    if not made:
        raise InputError(f"data.path {path!r} holds no .bin file with tokens")
    return made


def read(settings: DataSettings, part: Part) -> Iterator[Document | None]:
    """All tokens at once: where documents end is for the separator to say."""
    (url,) = part.files
    assert part.stop is not None
    dtype = _layout(File(url, url, part.sizes[0], 0.0, part.named))[1]
    with opened(url) as stream:
        stream.seek(part.start)
        tokens = np.frombuffer(stream.read(part.stop - part.start), dtype=dtype)
    yield Document(part.domain, tokens=tokens, complete=False)


def _layout(file: File) -> tuple[int, np.dtype, int]:
    """(first byte, type, tokens). Raises InputError where size and header do not fit."""
    with opened(file.url) as stream:
        head = np.frombuffer(stream.read(12).ljust(12, b"\0"), dtype="<i4")
    if int(head[0]) in MAGIC:
        versions = MAGIC[int(head[0])]
        if int(head[1]) not in versions:
            raise InputError(f"{file.url}: llm.c header of version {head[1]}; known is {', '.join(map(str, versions))}")
        dtype, tokens = versions[int(head[1])], int(head[2])
        if file.size != HEADER_BYTES + tokens * dtype.itemsize:
            raise InputError(
                f"{file.url}: its header says {tokens:,} tokens, which needs "
                f"{HEADER_BYTES + tokens * dtype.itemsize:,} bytes; it has {file.size:,}. It was cut short or "
                f"added to: fetch it again"
            )
        return HEADER_BYTES, dtype, tokens
    dtype = np.dtype("<u2")
    if file.size % dtype.itemsize:
        raise InputError(f"{file.url}: {file.size:,} bytes are no whole number of uint16 tokens; it was cut short")
    return 0, dtype, file.size // dtype.itemsize
