"""N*, D* and L* for a compute budget: how large a model, on how many tokens?

Minimise E + A/N^alpha + B/D^beta subject to C = 6ND (Hoffmann et al. 2022, eq. 4):
G = (alpha A / (beta B))^(1/(alpha+beta)), N* = G (C/6)^(beta/(alpha+beta)), D* = (C/6)^(alpha/(alpha+beta)) / G.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fitting.fit import Fit
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
    """N*, D* of the closed form above, broadcast over constants and budgets; NaN where an exponent is zero."""
    alpha, beta = constants["alpha"], constants["beta"]
    total = alpha + beta
    with np.errstate(divide="ignore", invalid="ignore"):
        log_g = np.log(alpha * constants["A"] / (beta * constants["B"])) / total
        log_nd = np.log(np.asarray(flops) / 6.0)
        n_params = np.exp(log_g + log_nd * beta / total)
        d_tokens = np.exp(log_nd * alpha / total - log_g)
    return n_params, d_tokens


def within_reach(n_params: np.ndarray, flops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) of at least one parameter and one token: an optimum of points that identify no law can run off."""
    product = np.maximum(flops / 6.0, 1.0)
    kept = np.clip(n_params, 1.0, product)
    return kept, product / kept


def has_closed_form(fit: Fit) -> bool:
    """Whether the law's optimum is the one above: the sum of two power terms, or a monotone function of it."""
    return {"A", "B", "alpha", "beta"} <= set(fit.constants) and fit.law.inputs == ("n_params", "d_tokens")


def allocate(fit: Fit, flops: np.ndarray, level: float = LEVEL) -> Allocation | None:
    """N*, D*, L* with bootstrap intervals; the loss interval also holds noise and model discrepancy.

    None where the law has no optimum of at least one parameter and one token at every budget: an exponent that
    ended on zero leaves none, or one that runs off to N* = 0.
    """
    flops = np.atleast_1d(np.asarray(flops, float))
    n_best, d_best = optimum(fit.constants, flops)
    if not ((n_best >= 1) & (d_best >= 1) & np.isfinite(n_best * d_best)).all():
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
