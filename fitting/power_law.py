"""ln y = exponent ln C + log_coefficient: how does an optimum grow with compute, and how surely?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.allocate import Range
from fitting.errors import InputError

FEWEST_HELD = 0.5  # share of resamples that must keep an optimum (Porian et al. 2024, arXiv:2406.19146)


@dataclass(frozen=True)
class PowerLaw:
    """ln y = exponent ln C + log_coefficient."""

    exponent: float
    low: float
    high: float
    log_coefficient: float
    level: float
    draws: np.ndarray  # (resamples, 2) exponent and log_coefficient

    def at(self, flops: float | np.ndarray) -> Range:
        """y with its interval for each budget."""
        log_c = np.log(np.atleast_1d(np.asarray(flops, float)))
        drawn = self.draws[:, :1] * log_c + self.draws[:, 1:]
        low, high = np.exp(np.nanquantile(drawn, tails(self.level), axis=0))
        return Range(np.exp(self.exponent * log_c + self.log_coefficient), low, high)


def power_law(
    log_c: np.ndarray, log_y: np.ndarray, weights: np.ndarray, log_y_draws: np.ndarray, level: float
) -> PowerLaw:
    """Weighted least squares of ln y on ln C; log_y_draws (resamples, budgets), NaN where a draw lacks the budget.

    Raises InputError where most draws lack a line: then nothing is known about its exponent.
    """
    exponent, constant = _lines(log_c, log_y[None], weights)[0]
    draws = _lines(log_c, log_y_draws, weights)
    held = float(np.mean(np.isfinite(draws[:, 0])))
    if held < FEWEST_HELD:
        raise InputError(
            f"only {held:.0%} of the resamples have an optimum at two budgets, at least {FEWEST_HELD:.0%} are needed; "
            f"add runs of equal compute on both sides of the minimum"
        )
    low, high = np.nanquantile(draws[:, 0], tails(level))
    return PowerLaw(float(exponent), float(low), float(high), float(constant), level, draws)


def _lines(log_c: np.ndarray, log_y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Slope and intercept for each row, (rows, 2); NaN where a row has fewer than two values."""
    there = np.isfinite(log_y)
    share = np.where(there, weights, 0.0)
    y = np.where(there, log_y, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = share / share.sum(axis=1, keepdims=True)
        mean_c, mean_y = share @ log_c, np.sum(share * y, axis=1)
        centred = log_c - mean_c[:, None]
        slope = np.sum(share * centred * y, axis=1) / np.sum(share * centred**2, axis=1)
    slope[np.count_nonzero(there, axis=1) < 2] = np.nan
    return np.stack([slope, mean_y - slope * mean_c], axis=1)


def tails(level: float) -> list[float]:
    """Quantiles of the interval of that level."""
    return [(1 - level) / 2, (1 + level) / 2]
