"""Bytes to tokens: raw bytes, or a byte-level BPE trained on the corpus itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SEPARATOR = "<|end|>"  # between documents; stands for no byte
TRAINING_SAMPLE = 8_000_000  # bytes: more changes the merges of a small vocabulary very little (assumption)
BYTES_VOCAB = 257


@dataclass(frozen=True)
class Tokenizer:
    """Token 0 is the separator. `bpe` is the JSON of the `tokenizers` library, None for raw bytes."""

    vocab_size: int
    bpe: str | None

    @property
    def name(self) -> str:
        return "bytes" if self.bpe is None else f"bpe-{self.vocab_size}"

    def token_bytes(self) -> np.ndarray:
        """Raw bytes per token, (vocabulary,)."""
        if self.bpe is None:
            return np.concatenate([[0], np.ones(256)]).astype(np.int32)
        lengths = np.zeros(self.vocab_size, dtype=np.int32)
        for token, index in self._library().get_vocab().items():
            lengths[index] = 0 if token == SEPARATOR else len(token)  # one printable character stands for one byte
        return lengths

    def encode(self, texts: Sequence[bytes]) -> np.ndarray:
        """The texts joined by the separator, which also comes first: uint16."""
        separator = np.zeros(1, dtype=np.uint16)
        if self.bpe is None:
            parts = [np.frombuffer(text, dtype=np.uint8).astype(np.uint16) + 1 for text in texts]
        else:
            encoded = self._library().encode_batch_fast([text.decode("utf-8") for text in texts])
            parts = [np.asarray(item.ids, dtype=np.uint16) for item in encoded]
        return np.concatenate([piece for part in parts for piece in (separator, part)] + [separator])

    def _library(self):
        import tokenizers

        assert self.bpe is not None
        library = tokenizers.Tokenizer.from_str(self.bpe)
        library.encode_special_tokens = True  # text that spells the separator out stays text; not kept in the JSON
        return library


def bytes_tokenizer() -> Tokenizer:
    return Tokenizer(BYTES_VOCAB, None)


def train_bpe(texts: Sequence[bytes], vocab_size: int) -> Tokenizer:
    """Byte-level BPE (Radford et al. 2019) on a sample of the texts, in their order."""
    import tokenizers
    from tokenizers import models, pre_tokenizers, trainers

    sample, total = [], 0
    for text in texts:
        if total >= TRAINING_SAMPLE:
            break
        sample.append(text.decode("utf-8"))
        total += len(text)
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[SEPARATOR],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample, trainer)
    return Tokenizer(vocab_size, tokenizer.to_str())
