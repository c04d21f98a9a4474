"""A prepared corpus: token shards on disk, what is known of them, and batches as a pure function of (order, step)."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fitting.errors import InputError
from sweep.data.epochs import fresh_steps
from sweep.data.manifest import CorpusInfo, read_manifest, windows_in
from sweep.data.order import Order, chosen_windows, evenly_spaced
from sweep.data.tokenizers import Tokenizer, load, token_dtype


@dataclass(frozen=True)
class HeldOut:
    """The fixed windows that every run of a sweep is judged on."""

    windows: np.ndarray  # (windows, length + 1) tokens
    domain: np.ndarray  # (windows,) number of the domain
    domains: tuple[str, ...]


@dataclass(frozen=True)
class Corpus:
    """Opened for reading; shards are mapped, never loaded whole."""

    info: CorpusInfo
    folder: Path

    @staticmethod
    def open(folder: Path) -> Corpus:
        """Raises InputError where a shard is not as it was prepared (by size; `verify` reads everything)."""
        info = read_manifest(folder)
        for shard in info.shards:
            size = _size(folder / shard.file)
            expected = shard.tokens * token_dtype(info.vocab_size).itemsize
            if size != expected:
                found = "is missing" if size is None else f"has {size:,} bytes instead of {expected:,}"
                raise InputError(
                    f"corpus {folder}: {shard.file} {found}; it changed since it was prepared. Prepare it again"
                )
        return Corpus(info, folder)

    def verify(self) -> None:
        """Raises InputError naming the first shard whose content is not that of the manifest."""
        for shard in self.info.shards:
            with (self.folder / shard.file).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != shard.sha256:
                raise InputError(
                    f"corpus {self.folder}: {shard.file} has SHA-256 {found[:16]}, prepared as {shard.sha256[:16]}; it "
                    f"changed since. Prepare it again"
                )

    @functools.cached_property
    def token_bytes(self) -> np.ndarray:
        """Raw bytes that each token stands for, (vocabulary,); special tokens stand for none."""
        return np.load(self.folder / "token_bytes.npy")

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        known = self.info
        return load(self.folder, known.tokenizer_kind, known.tokenizer, known.separator, known.vocab_size)

    def raw_bytes(self, tokens: np.ndarray) -> int:
        """That these tokens stand for; 0 where the vocabulary is unknown."""
        return round(float(self.token_bytes[tokens].sum()) * self.info.byte_ratio)

    def entropy(self, length: int) -> float | None:
        """Nats per token that no model of windows of `length` targets goes below; None where nobody knows."""
        if self.info.entropy is None:
            return None
        first, rest = self.info.entropy
        return (first + (length - 1) * rest) / length

    def streams(self, split: str) -> list[Stream]:
        """One a domain that has tokens in this split."""
        return self._train if split == "train" else self._held_out

    @functools.cached_property
    def _train(self) -> list[Stream]:
        return _streams(self.folder, self.info, "train")

    @functools.cached_property
    def _held_out(self) -> list[Stream]:
        return _streams(self.folder, self.info, "held_out")

    def batches(self, order: Order, first_step: int, steps: int, batch: int) -> np.ndarray:
        """Tokens (steps, batch, length + 1) of steps first_step, …: a pure function of its arguments.

        Step s takes positions s * batch .. s * batch + batch - 1 of the endless sequence of windows.
        """
        positions = np.arange(first_step * batch, (first_step + steps) * batch)
        windows = self.info.train_windows(order.length)
        if not sum(count for _, count in windows):
            raise InputError(
                f"data.sequence is {order.length}; the training split has {self.info.train_tokens} tokens. Give a "
                f"larger corpus or shorter sequences"
            )
        chosen = chosen_windows(order, windows, positions, batch)
        out = _take(self.streams("train"), chosen, order.length, token_dtype(self.info.vocab_size))
        return out.reshape(steps, batch, order.length + 1)

    def fresh_steps(self, order: Order, batch: int) -> int:
        """Steps before the first one that meets a window again."""
        return fresh_steps(order, self.info.train_windows(order.length), batch)

    def held_out(self, tokens: int, length: int) -> HeldOut:
        """About `tokens` targets, evenly spaced over the held-out documents of all domains."""
        streams = self.streams("held_out")
        counts = [stream.windows(length) for stream in streams]
        available, wanted = sum(counts), max(1, tokens // length)
        if available < 1:
            raise InputError(
                f"data.sequence is {length}; the held-out split has {self.info.held_out_tokens} tokens. Give a larger "
                f"corpus or shorter sequences"
            )
        chosen = evenly_spaced(available, wanted)
        domain = np.searchsorted(np.cumsum(counts), chosen, side="right")
        windows = _take(streams, chosen, length, token_dtype(self.info.vocab_size))
        return HeldOut(windows, domain, tuple(stream.domain for stream in streams))

    def held_out_text(self, limit: int) -> list[bytes]:
        """Held-out documents, from the beginning of each domain, about `limit` bytes in all."""
        if self.info.separator is None or not self.token_bytes.any():
            return []
        if not all((self.folder / shard.file).exists() for shard in self.info.shards):
            return []  # only the vocabulary was kept, in the store of a run
        streams, texts = self.streams("held_out"), []
        for stream in streams:
            budget = limit / len(streams)
            for document in stream.documents(self.info.separator):
                texts.append(self.tokenizer.text(document))
                budget -= len(texts[-1])
                if budget <= 0:
                    break
        return texts


@dataclass(frozen=True)
class Stream:
    """The shards of one domain and split. Windows never cross from one shard to the next."""

    domain: str
    shards: tuple[np.ndarray, ...]

    def windows(self, length: int) -> int:
        return sum(windows_in(len(shard), length) for shard in self.shards)

    def documents(self, separator: int):
        for shard in self.shards:
            for piece in np.split(shard, np.flatnonzero(shard[: 2**24] == separator)):
                if len(piece) > 1:
                    yield piece[1:]


def _streams(folder: Path, info: CorpusInfo, split: str) -> list[Stream]:
    dtype = token_dtype(info.vocab_size)
    found: dict[str, list[np.ndarray]] = {}
    for shard in info.shards:
        if shard.split == split and shard.tokens:
            # A plain view: fancy indexing of np.memmap itself pays for its subclass.
            found.setdefault(shard.domain, []).append(np.asarray(np.memmap(folder / shard.file, dtype, mode="r")))
    return [Stream(domain, tuple(shards)) for domain, shards in found.items()]


def _take(streams: Sequence[Stream], chosen: np.ndarray, length: int, dtype: np.dtype) -> np.ndarray:
    """Windows of these numbers, counted shard by shard through all streams: (windows, length + 1)."""
    shards = [shard for stream in streams for shard in stream.shards]
    counts = np.asarray([windows_in(len(shard), length) for shard in shards])
    ends = np.cumsum(counts)
    at = np.searchsorted(ends, chosen, side="right")
    out = np.empty((len(chosen), length + 1), dtype=dtype)
    for number in np.unique(at):
        here = at == number
        first = (chosen[here] - (ends[number] - counts[number])) * length
        out[here] = shards[number][first[:, None] + np.arange(length + 1)]
    return out


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None
