"""A document, and the unit of work that yields some."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

HELD_OUT_SHARE = 0.05  # of the documents


@dataclass(frozen=True)
class Document:
    """Text (UTF-8), or tokens where the source is tokenised already."""

    domain: str
    text: bytes | None = None
    tokens: np.ndarray | None = None
    complete: bool = True  # False: tokens in which documents still have to be told apart

    @property
    def digest(self) -> bytes:
        """BLAKE2b (16 bytes) of the content: what tells duplicates, and the split."""
        content = self.text if self.text is not None else np.ascontiguousarray(self.tokens).tobytes()
        return hashlib.blake2b(content, digest_size=16).digest()


@dataclass(frozen=True)
class Part:
    """A piece of a source: some files, or a range of one."""

    format: str
    domain: str
    files: tuple[str, ...]  # paths or URLs
    sizes: tuple[int, ...] = ()  # bytes
    times: tuple[float, ...] = ()  # of the last change, seconds since 1970; 0 where unknown
    domains: tuple[str, ...] = ()  # of each file, where they differ
    start: int = 0  # first byte, row group or row …
    stop: int | None = None  # … and the one after the last; None: all
    weight: int = 0  # bytes, about: for progress
    held_out: bool = False  # all of it
    named: bool = False  # the user named this very file: what cannot be read is an error, not skipped


def is_held_out(first_half: np.ndarray) -> np.ndarray:
    """By content, never by position: (documents,) uint64, the first 8 bytes of each digest."""
    return first_half < np.uint64(int(HELD_OUT_SHARE * 2**64))
