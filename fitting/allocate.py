"""N*, D* and L* of a fit for a compute budget, with their intervals: how large a model, on how many tokens?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fitting.fit import Fit
from fitting.planner.surface import FLOPS_PER_PARAMETER_TOKEN, Surface
from fitting.predict import LEVEL, predict


@dataclass(frozen=True)
class Range:
    """A value with its interval; arrays over budgets."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Allocation:
    """The compute-optimal run for each budget (budgets,)."""

    flops: np.ndarray  # 6ND
    n_params: Range
    d_tokens: Range
    loss: Range  # nats per token
    level: float


def optimum(
    constants: Mapping[str, float] | Mapping[str, np.ndarray], flops: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """N*, D* of a law's published constants, broadcast over them and budgets; NaN where an exponent is zero."""
    surface = Surface.of({"E": 0.0, **constants})  # the floor moves no optimum
    assert surface is not None  # has_closed_form
    return surface.optimum(flops)


def within_reach(n_params: np.ndarray, flops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) of at least one parameter and one token: an optimum of points that identify no law can run off."""
    product = np.maximum(flops / FLOPS_PER_PARAMETER_TOKEN, 1.0)
    kept = np.clip(n_params, 1.0, product)
    return kept, product / kept


def has_closed_form(fit: Fit) -> bool:
    """Whether the law is a sum of two power terms, or a monotone function of it."""
    return fit.law.surface and Surface.of(fit.constants) is not None


def allocate(fit: Fit, flops: np.ndarray, level: float = LEVEL) -> Allocation | None:
    """N*, D*, L* with bootstrap intervals; the loss interval also holds noise and model discrepancy.

    None where the law has no optimum of at least one parameter and one token at every budget: an exponent that
    ended on zero leaves none, or one that runs off to N* = 0.
    """
    flops = np.atleast_1d(np.asarray(flops, float))
    n_best, d_best = optimum(fit.constants, flops)
    if not ((n_best >= 1) & (d_best >= 1) & np.isfinite(n_best) & np.isfinite(d_best)).all():
        return None
    draws = {name: value[:, None] for name, value in fit.constant_draws().items()}
    n_draws, d_draws = within_reach(optimum(draws, flops[None])[0], flops[None])
    if not np.isfinite(n_draws).any():
        return None
    tails = [(1 - level) / 2, (1 + level) / 2]
    n_low, n_high = np.nanquantile(n_draws, tails, axis=0)
    d_low, d_high = np.nanquantile(d_draws, tails, axis=0)
    loss = predict(fit, n_best, d_best, level=level)
    return Allocation(
        flops=flops,
        n_params=Range(n_best, n_low, n_high),
        d_tokens=Range(d_best, d_low, d_high),
        loss=Range(loss.loss, loss.low, loss.high),
        level=level,
    )
