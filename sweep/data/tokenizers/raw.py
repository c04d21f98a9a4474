"""Raw bytes: token 0 is the separator, token b + 1 the byte b."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VOCAB = 257


@dataclass(frozen=True)
class RawBytes:
    """Any bytes, UTF-8 or not."""

    kind: str = "bytes"
    name: str = "bytes"
    vocab_size: int = VOCAB
    separator: int = 0
    content: bytes = b""

    def ids(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        return [np.add(np.frombuffer(text, dtype=np.uint8), 1, dtype=np.uint16) for text in texts]

    def text(self, ids: np.ndarray) -> bytes:
        ids = np.asarray(ids)
        return (ids[ids > 0] - 1).astype(np.uint8).tobytes()

    def token_bytes(self) -> np.ndarray:
        return np.concatenate([[0], np.ones(256)]).astype(np.int32)
