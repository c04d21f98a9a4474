"""SentencePiece models by path. Where their normaliser rewrites text, the corpus measures the true bytes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.errors import InputError
from sweep.data.tokenizers.tokenizer import token_dtype


@dataclass(frozen=True)
class SentencePiece:
    """`content` is the .model file."""

    content: bytes
    name: str
    separator: int
    kind: str = "sentencepiece"

    @property
    def vocab_size(self) -> int:
        return self._processor.vocab_size()

    def ids(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        dtype = token_dtype(self.vocab_size)
        return [np.asarray(self._processor.encode(text.decode("utf-8")), dtype=dtype) for text in texts]

    def text(self, ids: np.ndarray) -> bytes:
        return self._processor.decode([int(token) for token in ids if token != self.separator]).encode()

    def token_bytes(self) -> np.ndarray:
        processor, lengths = self._processor, np.zeros(self.vocab_size, dtype=np.int32)
        for token in range(self.vocab_size):
            if processor.is_byte(token):
                lengths[token] = 1
            elif not (processor.is_control(token) or processor.is_unknown(token) or processor.is_unused(token)):
                lengths[token] = len(processor.id_to_piece(token).replace("▁", " ").encode())
        return lengths

    @functools.cached_property
    def _processor(self) -> Any:
        return _library().SentencePieceProcessor(model_proto=self.content)


def from_file(content: bytes, name: str, separator: str | None) -> SentencePiece:
    """Documents end with `separator`, else with eos, else with bos. Raises InputError where it is no model."""
    library = _library()
    try:
        processor = library.SentencePieceProcessor(model_proto=content or b"empty")  # b"" would be no model at all
        size = processor.vocab_size()
    except Exception as error:  # the library raises RuntimeError and its own kinds
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"tokenizer {name} is no SentencePiece model: {first}") from None
    if separator is None:
        found = [token for token in (processor.eos_id(), processor.bos_id()) if token >= 0]
    elif separator.isdigit():
        found = [int(separator)] if int(separator) < size else []
    else:
        found = [token for token in range(size) if processor.id_to_piece(token) == separator]
    if not found:
        raise InputError(
            f"tokenizer {name} has no token {separator or 'eos or bos'}; name the token that ends a document as "
            f"data.separator, or its number below {size}"
        )
    return SentencePiece(content, name.removesuffix(".model"), found[0])


def _library() -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise InputError(
            "a SentencePiece model needs the sentencepiece library: pip install 'isoflop[sentencepiece]'"
        ) from None
    return sentencepiece
