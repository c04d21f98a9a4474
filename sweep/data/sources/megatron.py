"""Megatron-LM's indexed data sets: NAME.bin holds the tokens, NAME.idx where each document lies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fitting.errors import InputError
from sweep.data.settings import DataSettings
from sweep.data.sources.files import files_of, opened
from sweep.data.sources.part import Document, Part

PART_BYTES = 32_000_000
# Megatron-LM megatron/core/datasets/indexed_dataset.py: magic, version, code of the type, counts, three arrays.
MAGIC, VERSION = b"MMIDIDX\x00\x00", 1
TYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}


class Index(NamedTuple):
    dtype: np.dtype
    sizes: np.ndarray  # tokens of each sequence
    pointers: np.ndarray  # first byte of each sequence
    documents: np.ndarray  # first sequence of each document, and the end


def parts(settings: DataSettings, domain: str | None, path: str) -> list[Part]:
    made = []
    files = {file.url: file for file in files_of(path if not path.endswith(".bin") else path[:-4] + ".*")}
    for url, file in files.items():
        if not url.endswith(".idx"):
            continue
        binary = files.get(url[:-4] + ".bin") or (files_of(url[:-4] + ".bin") or [None])[0]
        assert binary is not None
        index = read_index(url)
        needed = int((index.pointers + index.sizes * index.dtype.itemsize).max(initial=0))
        if binary.size < needed:
            raise InputError(
                f"{binary.url}: its index needs {needed:,} bytes, it has {binary.size:,}; it was cut short. Fetch it "
                f"again"
            )
        # Documents of about PART_BYTES together.
        lengths = np.diff(np.concatenate([[0], np.cumsum(index.sizes)])[index.documents])
        weights = np.cumsum(lengths) * index.dtype.itemsize
        starts = [0, *(np.flatnonzero(np.diff(weights // PART_BYTES)) + 1).tolist(), len(lengths)]
        for start, stop in itertools.pairwise(starts):
            if stop > start:
                made.append(
                    Part(
                        "megatron",
                        domain or "text",
                        (url, binary.url),
                        (file.size, binary.size),
                        (file.changed, binary.changed),
                        start=start,
                        stop=stop,
                        weight=int(lengths[start:stop].sum()) * index.dtype.itemsize,
                        named=file.named,
                    )
                )
    if not made:
        raise InputError(f"data.path {path!r} holds no .idx file with documents")
    return made


def read(settings: DataSettings, part: Part) -> Iterator[Document | None]:
    url, binary = part.files
    assert part.stop is not None
    index = read_index(url)
    with opened(binary) as stream:
        for document in range(part.start, part.stop):
            pieces = []
            for sequence in range(index.documents[document], index.documents[document + 1]):
                stream.seek(int(index.pointers[sequence]))
                size = int(index.sizes[sequence]) * index.dtype.itemsize
                pieces.append(np.frombuffer(stream.read(size), dtype=index.dtype))
            yield Document(part.domain, tokens=np.concatenate(pieces)) if pieces else None


def read_index(url: str) -> Index:
    """Raises InputError where it is no index of the known version."""
    with opened(url) as stream:
        content = stream.read()
    if not content.startswith(MAGIC) or len(content) < 34:
        raise InputError(f"{url} is no Megatron index (its first bytes are {content[:9]!r})")
    version, code = int(np.frombuffer(content, "<u8", 1, 9)[0]), content[17]
    if version != VERSION or code not in TYPES:
        raise InputError(
            f"{url}: Megatron index of version {version} and type {code}; known are {VERSION}, {set(TYPES)}"
        )
    sequences, documents = (int(count) for count in np.frombuffer(content, "<u8", 2, 18))
    if len(content) < 34 + 12 * sequences + 8 * documents:
        raise InputError(f"{url} was cut short: {len(content):,} bytes for {sequences:,} sequences; fetch it again")
    index = Index(
        np.dtype(TYPES[code]),
        np.frombuffer(content, "<i4", sequences, 34).astype(np.int64),
        np.frombuffer(content, "<i8", sequences, 34 + 4 * sequences),
        np.frombuffer(content, "<i8", documents, 34 + 12 * sequences),
    )
    ends = index.documents[:1].tolist() + index.documents[-1:].tolist()
    if min(index.sizes.min(initial=0), index.pointers.min(initial=0), np.diff(index.documents).min(initial=0)) < 0 or (
        ends not in ([], [0, sequences])
    ):
        raise InputError(f"{url} is damaged: its documents are no ranges of its {sequences:,} sequences; make it again")
    return index
