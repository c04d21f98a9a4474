"""A Markov process whose entropy rate is known exactly, so that the E of a law has a true value.

The next symbol depends on the two before: p(c | a, b) is the softmax of u_c + s_bc + t_ac + r_abc, u a Zipf law and
s, t, r normal. What one, two and three symbols tell has to be learned from more and more data.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fitting.errors import InputError
from sweep.data.settings import DataSettings
from sweep.data.sources.part import Document, Part

CHAIN = 2**15  # tokens of a document; where two meet, a window sees a step that the process never took: 1 in CHAIN
CHAINS_A_PART = 64
LARGEST_VOCAB = 128  # V^3 probabilities
POWER_STEPS = 1000  # of the power iteration; it ends when nothing changes any more


class Process(NamedTuple):
    """Rows of transition probabilities, and what they come to in the long run."""

    cumulative: np.ndarray  # (V^2, V): of p(c | a, b), row a V + b
    pairs: np.ndarray  # (V^2,) stationary probabilities
    entropy_first: float  # nats: H(X1 | X0), of the first target of a window
    entropy_rest: float  # nats: H(X2 | X0, X1), of the others: the entropy rate


@functools.lru_cache(maxsize=2)
def process(vocab_size: int, seed: int) -> Process:
    """Raises InputError for a vocabulary out of range."""
    if not 2 <= vocab_size <= LARGEST_VOCAB:
        raise InputError(f"data.vocab_size is {vocab_size}; allowed for synthetic data is 2 to {LARGEST_VOCAB}")
    rng, v = np.random.default_rng([seed, 0x5E9]), vocab_size
    logits = -np.log(np.arange(1, v + 1)) + rng.normal(size=(1, v, v)) + rng.normal(size=(v, 1, v))
    logits = logits + rng.normal(size=(v, v, v))
    probabilities = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    pairs = np.full((v, v), 1.0 / v**2)
    for _ in range(POWER_STEPS):
        following = np.einsum("ab,abc->bc", pairs, probabilities)
        change = np.abs(following - pairs).sum()
        pairs = following / following.sum()
        if change < 1e-15:
            break
    single = pairs.sum(axis=1)
    return Process(
        cumulative=np.cumsum(probabilities, axis=-1).reshape(v * v, v),
        pairs=pairs.ravel(),
        entropy_first=_entropy(pairs.ravel()) - _entropy(single),
        entropy_rest=float(-(pairs[..., None] * probabilities * np.log(probabilities)).sum()),
    )


def _entropy(probabilities: np.ndarray) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())


def parts(settings: DataSettings, domain: str | None, path: str) -> list[Part]:
    if settings.tokenizer != "none" or settings.separator is not None:
        raise InputError(
            f"data.tokenizer is {settings.tokenizer!r} and data.separator {settings.separator!r}; synthetic data is "
            f"tokenised already and has no separator: allowed are none and null"
        )
    process(settings.vocab_size, settings.synthetic_seed)
    chains = -(-settings.synthetic_tokens // CHAIN)
    return [
        Part("synthetic", "synthetic", (), start=start, stop=min(start + CHAINS_A_PART, chains), weight=1)
        for start in range(0, chains, CHAINS_A_PART)
    ]


def read(settings: DataSettings, part: Part) -> Iterator[Document | None]:
    """Each chain starts in the long run's distribution and has its own stream of random numbers."""
    assert part.stop is not None
    known, v = process(settings.vocab_size, settings.synthetic_seed), settings.vocab_size
    streams = [
        np.random.default_rng([settings.synthetic_seed, 0xC4A1, chain]) for chain in range(part.start, part.stop)
    ]
    uniform = np.stack([stream.random(CHAIN - 1) for stream in streams])
    pair = np.searchsorted(np.cumsum(known.pairs), uniform[:, 0]).clip(max=v * v - 1)
    tokens = np.empty((len(streams), CHAIN), dtype=np.uint16)
    tokens[:, 0], tokens[:, 1] = pair // v, pair % v
    for position in range(2, CHAIN):
        rows = known.cumulative[pair]
        symbol = (rows < uniform[:, position - 1, None]).sum(axis=-1).clip(max=v - 1)
        tokens[:, position] = symbol
        pair = pair % v * v + symbol
    for chain in tokens:
        yield Document(part.domain, tokens=chain)
