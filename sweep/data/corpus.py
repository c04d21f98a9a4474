"""A prepared corpus: token arrays on disk, their fingerprint, and batches as a pure function of (seed, step)."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fitting.errors import InputError


@dataclass(frozen=True)
class CorpusInfo:
    """What is known of a corpus without opening its arrays; written beside them as JSON."""

    source: str
    fingerprint: str  # SHA-256 (16 hex digits) over names, contents, tokenizer and split
    tokenizer: str  # such as "bpe-1024"
    vocab_size: int
    documents: int
    train_bytes: int
    train_tokens: int
    held_out_documents: int
    held_out_bytes: int
    held_out_tokens: int


@dataclass(frozen=True)
class Corpus:
    """Train and held-out streams: documents joined by the separator token."""

    info: CorpusInfo
    folder: Path

    @staticmethod
    def open(folder: Path) -> Corpus:
        info = CorpusInfo(**json.loads((folder / "corpus.json").read_text()))
        return Corpus(info, folder)

    @functools.cached_property
    def train(self) -> np.ndarray:
        return np.load(self.folder / "train.npy", mmap_mode="r")

    @functools.cached_property
    def held_out(self) -> np.ndarray:
        return np.load(self.folder / "held_out.npy", mmap_mode="r")

    @functools.cached_property
    def token_bytes(self) -> np.ndarray:
        """Raw bytes that each token stands for, (vocabulary,); the separator stands for none."""
        return np.load(self.folder / "token_bytes.npy")

    def batches(self, seed: int, first_step: int, steps: int, batch: int, length: int) -> np.ndarray:
        """Tokens (steps, batch, length + 1) of steps first_step, …: a pure function of its arguments.

        The stream is cut into windows of `length` targets; every epoch visits each window once, in an order drawn
        from (seed, epoch). Step s takes windows s*batch .. s*batch + batch - 1 of that endless sequence.
        """
        windows = (len(self.train) - 1) // length
        if windows < 1:
            raise InputError(
                f"data.sequence is {length}; the training split has {len(self.train)} tokens. Give a larger corpus"
            )
        position = np.arange(first_step * batch, (first_step + steps) * batch)
        chosen = np.empty(len(position), dtype=np.int64)
        for epoch in np.unique(position // windows):
            here = position // windows == epoch
            chosen[here] = _window_order(windows, seed, int(epoch))[position[here] % windows]
        tokens = self.train[(chosen * length)[:, None] + np.arange(length + 1)]
        return tokens.reshape(steps, batch, length + 1)

    def evaluation_windows(self, tokens: int, length: int) -> np.ndarray:
        """Fixed windows (windows, length + 1), evenly spaced over the held-out stream, about `tokens` targets."""
        available = (len(self.held_out) - 1) // length
        wanted = max(1, tokens // length)
        if available < 1:
            raise InputError(
                f"data.sequence is {length}; the held-out split has {len(self.held_out)} tokens. Give a larger corpus"
            )
        chosen = np.unique(np.linspace(0, available - 1, min(wanted, available)).astype(np.int64))
        return self.held_out[(chosen * length)[:, None] + np.arange(length + 1)]


@functools.lru_cache(maxsize=4)
def _window_order(windows: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, 0x0DDE]).permutation(windows)
