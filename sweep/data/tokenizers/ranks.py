"""tiktoken vocabularies: a file of base64 tokens and their ranks, and the pattern that cuts text into words."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.errors import InputError
from sweep.data.tokenizers.tokenizer import token_dtype

# tiktoken_ext/openai_public.py of tiktoken 0.14; the file itself does not say which one it was made with.
_GPT2 = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
_CL100K = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"""
    r"""\s+(?!\S)|\s"""
)
_O200K = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)
PATTERNS = {"gpt2": _GPT2, "r50k": _GPT2, "p50k": _GPT2, "cl100k": _CL100K, "o200k": _O200K}
SEPARATOR = "<|endoftext|>"
# Its number is not in the file either: of the same module, by pattern and count of tokens; else it follows the last.
PUBLISHED = {("p50k", 50280): 50256, ("cl100k", 100256): 100257, ("o200k", 199998): 199999}
LARGEST_SEPARATOR = 2**24


@dataclass(frozen=True)
class Ranks:
    """`content` is the file with its pattern's name as a first line."""

    content: bytes
    name: str
    separator: int
    kind: str = "tiktoken"

    @functools.cached_property
    def vocab_size(self) -> int:
        return max(self.separator, *self._ranks.values()) + 1

    def ids(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        encoded = self._encoding.encode_ordinary_batch([text.decode("utf-8") for text in texts], num_threads=1)
        dtype = token_dtype(self.vocab_size)
        return [np.asarray(ids, dtype=dtype) for ids in encoded]

    def text(self, ids: np.ndarray) -> bytes:
        return self._encoding.decode_bytes([int(token) for token in ids if token != self.separator])

    def token_bytes(self) -> np.ndarray:
        lengths = np.zeros(self.vocab_size, dtype=np.int32)
        for token, rank in self._ranks.items():
            lengths[rank] = len(token)
        return lengths

    @functools.cached_property
    def _ranks(self) -> dict[bytes, int]:
        return _read_ranks(self.content.partition(b"\n")[2])

    @functools.cached_property
    def _encoding(self) -> Any:
        pattern = self.content.split(b"\n", 1)[0].decode()
        return _library().Encoding(
            self.name,
            pat_str=PATTERNS[pattern],
            mergeable_ranks=self._ranks,
            special_tokens={},
        )


def from_file(content: bytes, name: str, pattern: str | None, separator: str | None) -> Ranks:
    """A .tiktoken file. Raises InputError where it is none, or where its pattern is unknown."""
    _library()
    pattern = pattern or next((key for key in PATTERNS if key in name), None)
    if pattern not in PATTERNS:
        raise InputError(
            f"tokenizer {name}: its pattern is {pattern or 'not told by its name'}; allowed are {', '.join(PATTERNS)}. "
            f"Write it behind the path, such as {name}#cl100k"
        )
    try:
        ranks = _read_ranks(content)
        if missing := [byte for byte in range(256) if bytes([byte]) not in ranks]:
            raise ValueError(f"{len(missing)} of the 256 bytes have no token")
        if min(ranks.values()) < 0 or len(set(ranks.values())) < len(ranks):
            raise ValueError("its ranks are not different whole numbers from 0 up")
    except (ValueError, binascii.Error) as error:
        raise InputError(f"tokenizer {name} is no tiktoken file: {error}") from None
    if separator in (None, SEPARATOR):
        number = PUBLISHED[kind] if (kind := (pattern, len(ranks))) in PUBLISHED else max(ranks.values()) + 1
    elif separator.isdigit() and int(separator) < LARGEST_SEPARATOR:
        number = int(separator)
    else:
        raise InputError(
            f"data.separator is {separator!r}; allowed for the tiktoken file {name} are {SEPARATOR} and the number of "
            f"a token"
        )
    return Ranks(pattern.encode() + b"\n" + content, name.removesuffix(".tiktoken"), number)


def _read_ranks(content: bytes) -> dict[bytes, int]:
    rows = (line.split() for line in content.splitlines() if line)
    return {base64.b64decode(token, validate=True): int(rank) for token, rank in rows}


def _library() -> Any:
    try:
        import tiktoken
    except ImportError:
        raise InputError("a .tiktoken vocabulary needs the tiktoken library: pip install 'isoflop[tiktoken]'") from None
    return tiktoken
