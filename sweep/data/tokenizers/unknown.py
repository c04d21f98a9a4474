"""No vocabulary: for tokens that are there already. Nothing is known of bytes, so bits per byte are not either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from fitting.errors import InputError


@dataclass(frozen=True)
class Unknown:
    """Tokens 0 .. vocab_size - 1; `separator` where it was told."""

    vocab_size: int
    separator: int | None
    kind: str = "none"
    content: bytes = b""

    @property
    def name(self) -> str:
        return f"tokens-{self.vocab_size}"

    def ids(self, texts: Sequence[bytes]) -> NoReturn:
        raise InputError("data.tokenizer is none; text needs one: bytes, bpe, or the path of a vocabulary")

    def text(self, ids: np.ndarray) -> NoReturn:
        raise InputError(
            "this corpus knows no vocabulary, so its tokens cannot be read; prepare it with data.tokenizer"
        )

    def token_bytes(self) -> np.ndarray:
        return np.zeros(self.vocab_size, dtype=np.int32)
