"""Which window of which domain comes at a position of the endless sequence of training windows? In O(1)."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from fitting.errors import InputError

ROUNDS = 6
PERIOD = 10_000  # positions after which a mixture repeats itself at the latest: weights are exact to 1 / PERIOD

Mixture = tuple[tuple[str, float], ...]  # domain and its share of the windows; sums to 1


@dataclass(frozen=True)
class Order:
    """Windows of `length` targets. Part of a run's identity."""

    seed: int
    length: int  # tokens
    unique_tokens: int | None = None  # windows repeat after so many tokens; None: after the whole split
    curriculum: tuple[tuple[int, Mixture], ...] = ()  # (first step, mixture), steps rising from 0; empty: as it is


def evenly_spaced(available: int, wanted: int) -> np.ndarray:
    """At most `wanted` of 0 .. available - 1, the first and the last among them where there are two."""
    return np.unique(np.linspace(0, available - 1, min(wanted, available)).astype(np.int64))


def permuted(index: np.ndarray, size: int, *key: int) -> np.ndarray:
    """The images of `index` under a bijection of 0 .. size - 1 drawn from the key.

    A Feistel network on the next power of four (Luby and Rackoff 1988), walked until it is back in range (Black and
    Rogaway 2002): no table, however many windows there are.
    """
    bits = max(1, math.ceil(math.log2(max(size, 2)) / 2))
    mask, shift = np.uint64(2**bits - 1), np.uint64(bits)
    keys = np.random.SeedSequence(key).generate_state(ROUNDS, np.uint64)
    out = np.asarray(index, dtype=np.uint64)
    pending = np.ones(out.shape, dtype=bool)
    while pending.any():
        left, right = out[pending] >> shift, out[pending] & mask
        for round_key in keys:
            left, right = right, left ^ (_mixed(right ^ round_key) & mask)
        out[pending] = (left << shift) | right
        pending &= out >= size
    return out.astype(np.int64)


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def chosen_windows(order: Order, windows: Sequence[tuple[str, int]], positions: np.ndarray, batch: int) -> np.ndarray:
    """Numbers of the windows at these positions, counted through all domains: (positions,).

    windows: the name of each domain and how many windows it has. Every epoch visits each window once, in an order of
    its own. Raises InputError where a mixture names a domain that is not there or has no window.
    """
    names, counts = tuple(name for name, _ in windows), np.asarray([count for _, count in windows])
    unique = unique_windows(order, windows)
    if not order.curriculum:
        return _visit(positions, int(unique[0]), int(counts.sum()), order.seed, 0)
    domain, rank = _scheduled(order, names, positions, batch)
    starts, out = np.cumsum(counts) - counts, np.empty(len(positions), dtype=np.int64)
    for d in np.unique(domain):
        here = domain == d
        out[here] = starts[d] + _visit(rank[here], int(unique[d]), int(counts[d]), order.seed, int(d) + 1)
    return out


def unique_windows(order: Order, windows: Sequence[tuple[str, int]]) -> np.ndarray:
    """Windows after which text repeats: (domains,) under a curriculum, where each domain has epochs of its own, else
    (1,), those of the whole corpus. Raises InputError where a mixture names a domain that has none.
    """
    counts = np.asarray([count for _, count in windows])
    total = int(counts.sum())
    cap = total if order.unique_tokens is None else min(total, max(1, order.unique_tokens // order.length))
    if not order.curriculum:
        return np.asarray([cap])
    mixed = {name for _, mixture in order.curriculum for name, _ in mixture}
    for name, count in windows:
        if not count and name in mixed:
            raise InputError(f"data.mixture: domain {name!r} has no window of {order.length} tokens; leave it out")
    return np.asarray([max(1, cap * count // total) if count else 0 for count in counts.tolist()])


def drawn_windows(order: Order, names: tuple[str, ...], positions: int, batch: int) -> np.ndarray:
    """Windows at the first so many positions, repeated ones too: shaped like unique_windows."""
    if not order.curriculum:
        return np.asarray([positions])
    stage = next(stage for stage in _stages(order, names, batch) if positions < stage.end)
    return stage.before + stage.cycle.count(np.asarray([positions - stage.first]))[0]


def _visit(rank: np.ndarray, cap: int, total: int, seed: int, stream: int) -> np.ndarray:
    """Of `total` windows the first `cap` of one fixed order, in an order of each epoch's own."""
    out = np.empty(len(rank), dtype=np.int64)
    for epoch in np.unique(rank // cap):
        here = rank // cap == epoch
        out[here] = permuted(rank[here] % cap, cap, seed, int(epoch), stream, 0x0DDE)
    return out if cap == total else permuted(out, total, stream, 0xCAB)


def _scheduled(
    order: Order, names: tuple[str, ...], positions: np.ndarray, batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """(domain, how many windows of that domain came before) of each position."""
    domain, rank = np.empty(len(positions), dtype=np.int64), np.empty(len(positions), dtype=np.int64)
    for stage in _stages(order, names, batch):
        here = (positions >= stage.first) & (positions < stage.end)
        offset = positions[here] - stage.first
        domain[here] = stage.cycle.domains[offset % len(stage.cycle.domains)]
        rank[here] = stage.before[domain[here]] + stage.cycle.count(offset)[np.arange(len(offset)), domain[here]]
    return domain, rank


@dataclass(frozen=True)
class _Cycle:
    """What repeats."""

    domains: np.ndarray  # (period,)
    before: np.ndarray  # (period + 1, domains): windows of each domain before a place of the cycle

    def count(self, positions: np.ndarray) -> np.ndarray:
        """Windows of each domain before these positions, (positions, domains)."""
        period = len(self.domains)
        return (positions // period)[:, None] * self.before[-1] + self.before[positions % period]


@dataclass(frozen=True)
class _Stage:
    """A mixture of the curriculum."""

    first: int  # position
    end: float  # position where the next one begins; infinity: none does
    cycle: _Cycle
    before: np.ndarray  # (domains,) windows of each at the positions before


def _stages(order: Order, names: tuple[str, ...], batch: int) -> Iterator[_Stage]:
    before = np.zeros(len(names), dtype=np.int64)
    firsts = [step * batch for step, _ in order.curriculum]
    for (_, mixture), first, end in zip(order.curriculum, firsts, [*firsts[1:], math.inf], strict=True):
        stage = _Stage(first, end, _cycle(mixture, names), before)
        yield stage
        if end < math.inf:
            before = before + stage.cycle.count(np.asarray([end - first]))[0]


@functools.lru_cache(maxsize=32)
def _cycle(mixture: Mixture, names: tuple[str, ...]) -> _Cycle:
    """The domain furthest behind its share comes next, so no prefix is off by more than about one window."""
    unknown = [name for name, _ in mixture if name not in names]
    if unknown:
        raise InputError(f"data.mixture names {', '.join(unknown)}; the corpus has the domains {', '.join(names)}")
    shares = [Fraction(weight).limit_denominator(PERIOD) for _, weight in mixture]
    period = math.lcm(*(share.denominator for share in shares))
    if sum(shares) != 1 or period > PERIOD:
        period = PERIOD
    due = np.zeros(len(names))
    for name, weight in mixture:
        due[names.index(name)] = weight
    due /= due.sum()
    quota = np.floor(due * period + 1e-9).astype(np.int64)
    quota[np.argsort(quota - due * period, kind="stable")[: period - quota.sum()]] += 1  # largest remainders
    done, domains, before = np.zeros(len(names), dtype=np.int64), [], [np.zeros(len(names), dtype=np.int64)]
    for place in range(1, period + 1):
        behind = np.where(done < quota, quota * place / period - done, -np.inf)
        chosen = int(np.argmax(behind))
        done[chosen] += 1
        domains.append(chosen)
        before.append(done.copy())
    return _Cycle(np.asarray(domains), np.stack(before))
