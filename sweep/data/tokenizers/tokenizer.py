"""What every tokenizer can do."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

LARGEST_VOCAB = 2**32


class Tokenizer(Protocol):
    """Immutable; the same text gives the same tokens wherever it runs."""

    @property
    def kind(self) -> str:
        """How it is stored: the key of sweep.data.tokenizers.choose.FILES."""
        ...

    @property
    def name(self) -> str:
        """Such as "bytes", "bpe-1024", "cl100k_base"."""
        ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def separator(self) -> int | None:
        """Token that opens every document; None where the vocabulary has none."""
        ...

    @property
    def content(self) -> bytes:
        """The file that it is stored as; empty where it needs none."""
        ...

    def ids(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        """Tokens of each text, without separators. Texts are valid UTF-8 (raw bytes take anything)."""
        ...

    def text(self, ids: np.ndarray) -> bytes:
        """The bytes of these tokens; separators stand for none."""
        ...

    def token_bytes(self) -> np.ndarray:
        """Raw bytes that each token stands for, (vocabulary,) int32; 0 for special tokens.

        Exact for byte-level vocabularies; where a normaliser rewrites the text, the corpus measures the rest.
        """
        ...


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest of uint16 and uint32 that holds every token."""
    return np.dtype(np.uint16 if vocab_size <= 2**16 else np.uint32)


def fingerprint(tokenizer: Tokenizer) -> str:
    """SHA-256 (16 hex digits) over kind, separator and file."""
    digest = hashlib.sha256(f"{tokenizer.kind} {tokenizer.vocab_size} {tokenizer.separator}\n".encode())
    digest.update(tokenizer.content)
    return digest.hexdigest()[:16]
