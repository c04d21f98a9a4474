"""Vocabularies of the `tokenizers` library: a byte-level BPE trained here, or any tokenizer.json."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.errors import InputError
from sweep.data.tokenizers.tokenizer import token_dtype

OWN_SEPARATOR = "<|end|>"  # of vocabularies trained here; token 0
# What published vocabularies end a document with, the first that a vocabulary holds.
SEPARATORS = (OWN_SEPARATOR, "<|endoftext|>", "<|end_of_text|>", "<|eot|>", "</s>", "<eos>", "[EOS]", "[SEP]")
SMALLEST_BPE, LARGEST_BPE = 258, 2**20  # all bytes and the separator; beyond, no trainer ends (assumption)


@dataclass(frozen=True)
class Library:
    """`json_text` is the file."""

    json_text: str
    name: str
    separator: int
    vocab_size: int
    kind: str = "library"

    @property
    def content(self) -> bytes:
        return self.json_text.encode()

    def ids(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        try:
            encoded = self._library.encode_batch_fast(
                [text.decode("utf-8") for text in texts], add_special_tokens=False
            )
        except Exception as error:  # the library raises plain Exception, such as for an unknown word and no [UNK]
            raise InputError(f"tokenizer {self.name} cannot encode this text: {str(error).splitlines()[0]}") from None
        dtype = token_dtype(self.vocab_size)
        return [np.asarray(item.ids, dtype=dtype) for item in encoded]

    def text(self, ids: np.ndarray) -> bytes:
        if self._byte_level:  # tokens may end inside a character: the library would put a replacement there
            return b"".join(map(self._raw.__getitem__, np.asarray(ids).tolist()))
        kept = [int(token) for token in ids if token != self.separator]
        return self._library.decode(kept, skip_special_tokens=False).encode()

    def token_bytes(self) -> np.ndarray:
        lengths = np.zeros(self.vocab_size, dtype=np.int32)
        lengths[: len(self._raw)] = [len(raw) for raw in self._raw]
        return lengths

    @functools.cached_property
    def _library(self) -> Any:
        import tokenizers

        library = tokenizers.Tokenizer.from_str(self.json_text)
        library.encode_special_tokens = True  # text that spells a separator out stays text; not kept in the JSON
        library.no_truncation()
        library.no_padding()
        return library

    @functools.cached_property
    def _byte_level(self) -> bool:
        """Whether each character of a token stands for one byte (Radford et al. 2019)."""
        parts = json.loads(self.json_text)
        return "ByteLevel" in json.dumps([parts.get("pre_tokenizer"), parts.get("decoder")])

    @functools.cached_property
    def _raw(self) -> list[bytes]:
        """Bytes by token; special tokens stand for none."""
        added = {entry["content"]: entry["special"] for entry in json.loads(self.json_text).get("added_tokens") or []}
        table = {character: byte for byte, character in _byte_characters().items()}
        raw = [b""] * self.vocab_size
        for token, index in self._library.get_vocab(with_added_tokens=True).items():
            if token in added:  # spelled as it is
                raw[index] = b"" if added[token] else token.encode()
            elif self._byte_level and all(character in table for character in token):
                raw[index] = bytes(table[character] for character in token)
            else:
                raw[index] = _plain(token)
        return raw


def train_bpe(texts: Sequence[bytes], vocab_size: int) -> Library:
    """Byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909; on bytes: Radford et al. 2019) on these texts."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[OWN_SEPARATOR],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text.decode("utf-8") for text in texts], trainer)
    # The model is as wide as was asked for, even where the texts have too few pairs to fill it.
    return Library(tokenizer.to_str(), f"bpe-{vocab_size}", 0, vocab_size)


def from_json(json_text: str, name: str, separator: str | None) -> Library:
    """Any tokenizer.json. Raises InputError where it is none, or where no separator is known."""
    import tokenizers

    try:
        vocabulary = tokenizers.Tokenizer.from_str(json_text).get_vocab(with_added_tokens=True)
    except Exception as error:  # the library raises plain Exception
        raise InputError(f"tokenizer {name} is no tokenizer.json: {str(error).splitlines()[0]}") from None
    size = max(vocabulary.values(), default=-1) + 1
    if separator is not None and separator.isdigit() and int(separator) < size:
        return Library(json_text, name, int(separator), size)
    found = [token for token in ((separator,) if separator else SEPARATORS) if token in vocabulary]
    if not found:
        raise InputError(
            f"tokenizer {name} has no token {separator or ' or '.join(SEPARATORS)}; name the token that ends a "
            f"document as data.separator, or its number below {size}"
        )
    return Library(json_text, name, vocabulary[found[0]], size)


def _plain(token: str) -> bytes:
    """Bytes of a token of the SentencePiece and WordPiece kind."""
    if byte := re.fullmatch("<0x([0-9A-Fa-f]{2})>", token):
        return bytes.fromhex(byte[1])
    return token.removeprefix("##").replace("▁", " ").encode()


@functools.cache
def _byte_characters() -> dict[int, str]:
    """Byte to printable character, as GPT-2's encoder.py has it: printable Latin-1 as is, the rest from 256 up."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in kept]
    return {byte: chr(byte) for byte in kept} | {byte: chr(256 + i) for i, byte in enumerate(others)}
