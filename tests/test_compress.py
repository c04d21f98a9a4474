"""sweep/data/compress.py, its range coder, and the forward pass one token at a time."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import sysconfig
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fitting.errors import InputError
from models import Architecture, architecture_near
from models.decoder import head, hidden, initial_parameters
from models.incremental import empty_cache, step
from models.parametrisation import logit_multiplier, tensors
from sweep.data.coder import Decoder, Encoder, frequencies
from sweep.data.compress import MAGIC, compress, decompress, pack, unpack

BASE = Architecture(width=32, depth=3, heads=4, mlp_width=52, vocab_size=97)
CHOICES = {
    "dense": {},
    "gelu, scores without a bound": {"mlp": "gelu", "qk_norm": False, "queries_per_key": 2},
    "one key head, standard": {"queries_per_key": 4, "parametrisation": "standard"},
    "swiglu, tied": {"tied": True, "mlp": "swiglu", "queries_per_key": 2},
    "experts": {"experts": 4, "experts_per_token": 2},
    "one of gated experts, tied": {"experts": 3, "mlp": "swiglu", "queries_per_key": 2, "tied": True},
}
FAMILY = {name: dataclasses.replace(BASE, **choices) for name, choices in CHOICES.items()}
TEXT = b"A text repeats itself, and a text that repeats itself repeats itself. " * 20
BYTES = 257  # a separator, then the bytes
HEADER = {"run_id": "r1", "tokenizer": "t1", "tokens": 3, "length": 2, "bytes": 3, "sha256": "0" * 64}


def filled(a: Architecture, scale: float = 0.2) -> dict[str, np.ndarray]:
    """Normal values in every tensor: those that start at zero would hide what is behind them."""
    rng = np.random.default_rng(1)
    return {name: np.float32(scale * rng.normal(size=tensor.shape)) for name, tensor in tensors(a).items()}


@functools.cache
def tiny() -> tuple[Architecture, dict[str, jax.Array]]:
    """A model of bytes whose predictions are far from uniform."""
    a = architecture_near(3000, BYTES)
    params = initial_parameters(a, jax.random.key(0))
    return a, params | {"head": 0.5 * jax.random.normal(jax.random.key(1), params["head"].shape)}


def tokens_of(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8).astype(np.int32) + 1


@pytest.mark.parametrize("a", FAMILY.values(), ids=FAMILY)
def test_one_token_at_a_time_gives_the_logits_of_the_forward_pass(a):
    params = filled(a)
    tokens = np.random.default_rng(0).integers(0, a.vocab_size, (3, 11))
    logits = hidden(a, params, tokens).hidden_BxTxD @ head(params).T * logit_multiplier(a)
    assert np.std(np.asarray(logits)) > 0.3  # 1e-4 of something
    one, cache = jax.jit(functools.partial(step, a)), empty_cache(a, 3, 11)
    for position in range(11):
        found, cache = one(params, cache, tokens[:, position], np.int32(position))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, logits[:, position], rtol=0, atol=1e-4)


@st.composite
def messages(draw) -> tuple[list[int], int, list[int]]:
    """(bounds of the symbols, their total, symbols): some symbols next to certain, some next to impossible."""
    weights = draw(st.lists(st.one_of(st.integers(1, 9), st.integers(1, 2**24)), min_size=1, max_size=40))
    bounds = [0, *np.cumsum(weights).tolist()]
    return bounds, bounds[-1], draw(st.lists(st.integers(0, len(weights) - 1), max_size=300))


# Next to certain for long and then unlikely: bytes of 255 leave, and a carry runs back through them.
@example(([0, 2**24 - 1, 2**24], 2**24, [1] * 9 + [0] * 50 + [1] * 9))
@example(([0, 1, 2**32], 2**32, [1] * 200))
@example(([0, 3, 5], 5, []))
@settings(deadline=None, derandomize=True)
@given(messages())
def test_the_range_coder_returns_every_message_in_the_bits_of_its_frequencies(message):
    bounds, total, symbols = message
    encoder, ideal_bits = Encoder(), 0.0
    for symbol in symbols:
        low, high = bounds[symbol : symbol + 2]
        encoder.encode(low, high, total)
        ideal_bits -= math.log2((high - low) / total)
    data = encoder.finish()
    assert ideal_bits / 8 - 2 <= len(data) <= 1.0001 * ideal_bits / 8 + 8
    decoder = Decoder(data)
    for symbol in symbols:
        target = decoder.target(total)
        assert bounds[symbol] <= target < bounds[symbol + 1]
        decoder.consume(*bounds[symbol : symbol + 2], total)


def test_a_carry_runs_through_bytes_that_have_left():
    """0.5 exactly, approached from below: 0111… until a last symbol passes it."""
    encoder = Encoder()
    encoder.encode(2**31 - 1, 2**31 + 1, 2**32)
    for _ in range(4):
        encoder.encode(2**31 - 1, 2**31 + 1, 2**32)
    encoder.encode(2**32 - 1, 2**32, 2**32)
    data = encoder.finish()
    decoder = Decoder(data)
    for low, high in [(2**31 - 1, 2**31 + 1)] * 5 + [(2**32 - 1, 2**32)]:
        assert low <= decoder.target(2**32) < high
        decoder.consume(low, high, 2**32)


@pytest.mark.parametrize("vocabulary", [1, 2, 257, 32_000])
def test_tables_lose_next_to_nothing(vocabulary):
    """The bits of symbols drawn from the probabilities, by the tables and by the probabilities themselves."""
    logits = 3.0 * np.random.default_rng(vocabulary).normal(size=(4, vocabulary))
    p = np.float32(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    tables = frequencies(p)
    shares, total = np.diff(tables, axis=1), int(tables[0, -1])
    assert tables.dtype == np.int64
    assert total >= 2**24
    assert total > 16 * vocabulary
    assert total & (total - 1) == 0
    assert (tables[:, 0] == 0).all()
    assert (tables[:, -1] == total).all()
    assert shares.min() >= 1
    exact = p.astype(np.float64)
    expected, ideal = -(exact * np.log2(shares / total)).sum(), -(exact * np.log2(exact)).sum()
    assert abs(expected - ideal) <= 2e-5 * ideal + 1e-6
    np.testing.assert_array_equal(tables, frequencies(p.copy()))


def test_an_impossible_token_can_still_be_written_and_a_diverged_model_is_refused():
    assert np.diff(frequencies(np.float32([[0.0, 1.0, 0.0]])), axis=1).min() == 1
    with pytest.raises(InputError, match="not finite"):
        frequencies(np.float32([[np.nan, 1.0]]))


@pytest.mark.parametrize("length", [1, 7, 64, 5000])
def test_a_text_comes_back_exactly(length):
    """Also where the last window is short, and where the only one is."""
    a, params = tiny()
    ids, counts = tokens_of(TEXT)[: 40 * min(length, 9) + 5], []
    packed = compress(a, params, ids, length, 0, counts.append)
    assert packed.tokens == counts[-1] == len(ids)
    assert 8 * len(packed.data) == pytest.approx(packed.predicted_bits, rel=1e-3, abs=16)
    back = decompress(a, params, packed.data, len(ids), length, 0)
    np.testing.assert_array_equal(back, ids)


@pytest.mark.parametrize("name", ["experts", "swiglu, tied"])
def test_other_architectures_and_several_batches_come_back_exactly(name, monkeypatch):
    monkeypatch.setattr("sweep.data.compress.MOST_WINDOWS", 8)
    a = FAMILY[name]
    ids = np.random.default_rng(3).integers(0, a.vocab_size, 16 * 10 + 3)
    packed = compress(a, filled(a), ids, 10, 5)
    np.testing.assert_array_equal(decompress(a, filled(a), packed.data, len(ids), 10, 5), ids)


def test_the_predicted_bits_are_those_of_the_forward_pass():
    a, params = tiny()
    ids = tokens_of(TEXT[:60])
    windows = np.concatenate([np.zeros((3, 1), np.int32), ids.reshape(3, 20)], axis=1)
    logits = np.asarray(hidden(a, params, windows[:, :-1]).hidden_BxTxD @ head(params).T)
    nats = -np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), windows[:, 1:, None], axis=-1).sum()
    assert compress(a, params, ids, 20, 0).predicted_bits == pytest.approx(nats / math.log(2), rel=1e-5)


def test_no_tokens_are_no_bytes():
    a, params = tiny()
    assert compress(a, params, tokens_of(b""), 64, 0).data == b""
    assert len(decompress(a, params, b"", 0, 64, 0)) == 0


@pytest.mark.parametrize("damage", ["cut", "one bit", "empty", "noise"])
def test_a_damaged_payload_gives_another_text_and_never_an_error(damage):
    a, params = tiny()
    ids = tokens_of(TEXT[:300])
    data = compress(a, params, ids, 64, 0).data
    flipped = bytes([data[0] ^ 1]) + data[1:]
    worse = {"cut": data[: len(data) // 2], "one bit": flipped, "empty": b"", "noise": b"\xff" * len(data)}[damage]
    back = decompress(a, params, worse, len(ids), 64, 0)
    assert back.shape == ids.shape
    assert hashlib.sha256(back.tobytes()).digest() != hashlib.sha256(ids.tobytes()).digest()


@pytest.mark.parametrize(
    ("ids", "length", "start", "said"),
    [
        (np.array([1, 257]), 4, 0, "0 to 256"),
        (np.array([-1, 3]), 4, 0, "0 to 256"),
        (np.array([1]), 0, 0, "windows of 0"),
        (np.array([1]), 4, 257, "start token is 257"),
    ],
)
def test_tokens_that_the_model_does_not_know_are_refused(ids, length, start, said):
    with pytest.raises(InputError, match=said):
        compress(*tiny(), ids, length, start)


def test_a_packed_file_says_what_it_holds():
    assert unpack(pack(HEADER, b"\0payload")) == (HEADER, b"\0payload")
    assert pack(HEADER, b"").startswith(MAGIC)


def test_every_damaged_byte_and_every_cut_is_refused_in_one_line():
    packed = pack(HEADER, b"payload")
    damaged = [packed[:at] + bytes([packed[at] ^ 16]) + packed[at + 1 :] for at in range(len(packed))]
    for worse in damaged + [packed[:at] for at in range(len(packed))]:
        with pytest.raises(InputError):
            unpack(worse)


@pytest.mark.parametrize(
    "header", [[], 3, {}, HEADER | {"tokens": "3"}, HEADER | {"length": -1}, HEADER | {"run_id": 1}]
)
def test_a_foreign_header_is_refused(header):
    with pytest.raises(InputError, match="header lacks or misstates"):
        unpack(pack(header, b"payload"))


def test_a_header_that_is_no_json_is_refused(monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda *_, **__: "\xff{")
    with pytest.raises(InputError, match="header lacks or misstates"):
        unpack(pack(HEADER, b"payload"))


@pytest.mark.slow
def test_a_megabyte_comes_back_exactly_in_the_predicted_bits():
    a, params = tiny()
    modules = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    ids = tokens_of(b"".join(module.read_bytes() for module in modules)[: 2**20])
    assert len(ids) == 2**20
    packed = compress(a, params, ids, 64, 0)  # the default sequence; windows of 256 take three times as long
    assert 8 * len(packed.data) == pytest.approx(packed.predicted_bits, rel=1e-3)
    np.testing.assert_array_equal(decompress(a, params, packed.data, len(ids), 64, 0), ids)
