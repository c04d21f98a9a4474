"""Which window of which domain comes at a position of the endless sequence of training windows? In O(1)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
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
    its own. Raises InputError where a mixture names a domain that is not there.
    """
    names, counts = [name for name, _ in windows], np.asarray([count for _, count in windows])
    total = int(counts.sum())
    cap = total if order.unique_tokens is None else min(total, max(1, order.unique_tokens // order.length))
    if not order.curriculum:
        return _visit(positions, cap, total, order.seed, 0)
    domain, rank = _scheduled(order, tuple(names), positions, batch)
    starts, out = np.cumsum(counts) - counts, np.empty(len(positions), dtype=np.int64)
    for d in np.unique(domain):
        here = domain == d
        if counts[d] == 0:
            raise InputError(f"data.mixture: domain {names[d]!r} has no window of {order.length} tokens; leave it out")
        share = max(1, cap * int(counts[d]) // total)
        out[here] = starts[d] + _visit(rank[here], share, int(counts[d]), order.seed, int(d) + 1)
    return out


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
    before = np.zeros(len(names), dtype=np.int64)
    firsts = [step * batch for step, _ in order.curriculum]
    for (_, mixture), first, last in zip(order.curriculum, firsts, [*firsts[1:], None], strict=True):
        cycle = _cycle(mixture, names)
        here = (positions >= first) & (positions < last if last is not None else True)
        offset = positions[here] - first
        domain[here] = cycle.domains[offset % len(cycle.domains)]
        rank[here] = before[domain[here]] + cycle.count(offset)[np.arange(len(offset)), domain[here]]
        if last is not None:
            before = before + cycle.count(np.asarray([last - first]))[0]
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
