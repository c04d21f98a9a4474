"""How many bytes does a text need once a trained model predicts it, and which text do the bytes stand for?

A token of probability p costs -log2 p bits (Delétang et al. 2023, "Language modeling is compression",
arXiv:2309.10668). The tokens are cut into windows that are coded side by side, each from an empty context.

The same version of JAX on the same kind of machine reads the bytes back: probabilities that differ in their last bit
give another text, which the checksum of the packed file then shows.
"""

from __future__ import annotations

import functools
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from fitting.errors import InputError
from models import Architecture
from models.incremental import Cache, empty_cache, step
from sweep.data.coder import Decoder, Encoder, frequencies

FEWEST_WINDOWS, MOST_WINDOWS = 8, 256  # side by side, where there are as many
# Keys of one block, and probabilities, that exist at once. Measured: 2^20 (4 MB) takes 21 microseconds a token at
# width 16 and 1,024 tokens, 2^22 61; larger temporaries come fresh from the system at every step.
MOST_NUMBERS = 2**20

MAGIC = b"isoflop1"
CHECKED = slice(len(MAGIC), len(MAGIC) + 4)  # CRC-32 of everything behind it
SIZED = slice(CHECKED.stop, CHECKED.stop + 4)  # bytes of the header
HEADER = {"run_id": str, "tokenizer": str, "tokens": int, "length": int, "bytes": int, "sha256": str}

Report = Callable[[int], None]  # takes the tokens done so far


@dataclass(frozen=True)
class Compressed:
    """A token stream as bytes, and what the model said that it would need."""

    data: bytes
    tokens: int
    predicted_bits: float  # sum of -log2 p over the tokens


class _Predicted(NamedTuple):
    p: jax.Array  # (B, V)
    log_p: jax.Array  # (B, V), natural; p of a very unlikely token is 0


@dataclass(frozen=True)
class _Batch:
    """Windows that are coded side by side; only the last one of all may be short."""

    first: int  # token
    tokens: int
    shape: tuple[int, int]  # windows, positions: the same in every batch

    def present(self, position: int) -> int:
        """Windows that have a token at the position; they come first."""
        full, rest = divmod(self.tokens, self.shape[1])
        return full + (position < rest)


def compress(
    architecture: Architecture,
    params: Mapping[str, Any],
    ids: np.ndarray,
    length: int,
    start: int,
    report: Report = lambda done: None,
) -> Compressed:
    """The tokens (n,) in windows of `length`, each predicted from the token `start` on."""
    _check(architecture, len(ids), length, start)
    if len(ids) and not (int(ids.min()) >= 0 and int(ids.max()) < architecture.vocab_size):
        raise InputError(
            f"tokens from {ids.min()} to {ids.max()}; the model knows 0 to {architecture.vocab_size - 1}. "
            f"Take the tokenizer that the model was trained with"
        )
    encoder, nats, done = Encoder(), 0.0, 0
    for batch in _batches(architecture, len(ids), length):
        windows = np.full(batch.shape, start, np.int32)
        windows.reshape(-1)[: batch.tokens] = ids[batch.first : batch.first + batch.tokens]
        for position, predicted in _predictions(architecture, params, batch, windows, start):
            rows = np.arange(batch.present(position))
            symbols = windows[rows, position]
            nats -= float(np.asarray(predicted.log_p)[rows, symbols].sum(dtype=np.float64))
            tables = frequencies(np.asarray(predicted.p)[: len(rows)])
            total = int(tables[0, -1])
            for low, high in zip(tables[rows, symbols].tolist(), tables[rows, symbols + 1].tolist(), strict=True):
                encoder.encode(low, high, total)
            done += len(rows)
            report(done)
    return Compressed(encoder.finish(), len(ids), nats / math.log(2))


def decompress(
    architecture: Architecture,
    params: Mapping[str, Any],
    data: bytes,
    n: int,
    length: int,
    start: int,
    report: Report = lambda done: None,
) -> np.ndarray:
    """The n tokens, (n,) int32. Damaged bytes or another model give other tokens and no error: compare checksums."""
    _check(architecture, n, length, start)
    decoder, done, parts = Decoder(data), 0, [np.empty(0, np.int32)]
    for batch in _batches(architecture, n, length):
        windows = np.full(batch.shape, start, np.int32)
        for position, predicted in _predictions(architecture, params, batch, windows, start):
            tables = frequencies(np.asarray(predicted.p)[: batch.present(position)])
            total, symbols = int(tables[0, -1]), []
            for table in tables:
                symbol = int(table.searchsorted(decoder.target(total), "right")) - 1
                decoder.consume(int(table[symbol]), int(table[symbol + 1]), total)
                symbols.append(symbol)
            windows[: len(symbols), position] = symbols
            done += len(symbols)
            report(done)
        parts.append(windows.reshape(-1)[: batch.tokens])
    return np.concatenate(parts)


def pack(header: dict[str, Any], payload: bytes) -> bytes:
    """A file that says what it holds: the fields of HEADER, and the payload."""
    text = json.dumps(header, sort_keys=True).encode()
    body = len(text).to_bytes(4) + text + payload
    return MAGIC + zlib.crc32(body).to_bytes(4) + body


def unpack(data: bytes) -> tuple[dict[str, Any], bytes]:
    """(header, payload) of a packed file."""
    if not data.startswith(MAGIC):
        raise InputError(
            f"the file begins with {data[: len(MAGIC)]!r}; allowed is what `compress` wrote. Compress first"
        )
    if len(data) < SIZED.stop or zlib.crc32(data[CHECKED.stop :]) != int.from_bytes(data[CHECKED]):
        raise InputError(
            f"the file of {len(data)} bytes is cut off or damaged (wrong CRC-32). Copy or compress it again"
        )
    end = SIZED.stop + int.from_bytes(data[SIZED])
    try:
        header = json.loads(data[SIZED.stop : end])
    except ValueError:  # neither JSON nor text
        header = None
    fields = header if isinstance(header, dict) else {}
    wrong = [name for name, kind in HEADER.items() if type(fields.get(name)) is not kind]
    wrong += [name for name, kind in HEADER.items() if kind is int and name not in wrong and fields[name] < 0]
    if wrong:
        raise InputError(
            f"the file's header lacks or misstates {', '.join(wrong)}; allowed are {', '.join(HEADER)}, as `compress` "
            f"writes them. Compress again"
        )
    return fields, data[end:]


def _check(architecture: Architecture, tokens: int, length: int, start: int) -> None:
    if tokens < 0 or length < 1:
        raise InputError(f"{tokens} tokens in windows of {length}; allowed are 0 or more in 1 or more. Correct them")
    if not 0 <= start < architecture.vocab_size:
        raise InputError(
            f"the start token is {start}; the model knows 0 to {architecture.vocab_size - 1}. "
            f"Take the separator of the tokenizer that the model was trained with"
        )


def _batches(architecture: Architecture, tokens: int, length: int) -> Iterator[_Batch]:
    """As equal as they can be, so that the padding of the last one is small."""
    length = min(length, tokens)
    if tokens == 0:
        return
    windows = -(-tokens // length)
    numbers = max(architecture.groups * architecture.head_width * length, architecture.vocab_size)
    most = min(max(MOST_NUMBERS // numbers, FEWEST_WINDOWS), MOST_WINDOWS)
    together = -(-windows // -(-windows // most))
    for first in range(0, tokens, together * length):
        yield _Batch(first, min(together * length, tokens - first), (together, length))


def _predictions(
    architecture: Architecture, params: Mapping[str, Any], batch: _Batch, windows: np.ndarray, start: int
) -> Iterator[tuple[int, _Predicted]]:
    """What the model says of each position, from what `windows` holds before it: a decoder fills them as it goes.

    Both directions run this one program with the same shapes and the same rows, padding included. The parallel forward
    pass would be faster for the encoder, but its sums run in another order, and a last bit that differs is enough to
    lose the text.
    """
    program = _program(architecture)
    weights = {name: jax.numpy.asarray(value) for name, value in params.items()}
    cache = empty_cache(architecture, *batch.shape)
    token = np.full(len(windows), start, np.int32)
    for position in range(batch.shape[1]):
        if batch.present(position) == 0:
            return
        predicted, cache = program(weights, cache, token, np.int32(position))
        yield position, predicted
        token = windows[:, position].copy()  # JAX may read it after the decoder has gone on


@functools.lru_cache(maxsize=8)
def _program(architecture: Architecture) -> Any:
    def predict(params, cache, token, position) -> tuple[_Predicted, Cache]:
        logits, cache = step(architecture, params, cache, token, position)
        return _Predicted(jax.nn.softmax(logits), jax.nn.log_softmax(logits)), cache

    return jax.jit(predict, donate_argnums=1)
