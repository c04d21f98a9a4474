"""What does a token cost to train on, as a function of N? 6N, or the exact count of a family of models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.planner.surface import FLOPS_PER_PARAMETER_TOKEN, Numbers

DEGREE = 6  # follows the exact counts of decoders from 1e4 to 1e12 parameters to 1% in the median


@dataclass(frozen=True)
class SixN:
    """6N FLOPs per token (Kaplan et al. 2020)."""

    name: str = "6ND"

    def per_token(self, n_params: Numbers) -> Numbers:
        return FLOPS_PER_PARAMETER_TOKEN * n_params

    def elasticity(self, n_params: Numbers) -> Numbers:
        return np.ones_like(np.asarray(n_params, float))


@dataclass(frozen=True)
class Counted:
    """Exact FLOPs per token of a family's shapes, smooth in ln N; beyond the table they grow as N.

    A polynomial of ln(per_token) through the shapes: their depth and width move in steps, and an optimum should not.
    """

    trend: np.polynomial.Polynomial  # of ln(per_token / 6N) in ln N
    smallest: float  # of the table, ln N
    largest: float
    name: str = "exact"

    @classmethod
    def of(cls, n_params: np.ndarray, per_token: np.ndarray) -> Counted:
        """Through counted models, smallest first."""
        log_n = np.log(n_params)
        excess = np.log(per_token / (FLOPS_PER_PARAMETER_TOKEN * n_params))
        return cls(np.polynomial.Polynomial.fit(log_n, excess, DEGREE), float(log_n[0]), float(log_n[-1]))

    def per_token(self, n_params: Numbers) -> Numbers:
        inside = np.clip(np.log(np.asarray(n_params, float)), self.smallest, self.largest)
        return FLOPS_PER_PARAMETER_TOKEN * n_params * np.exp(self.trend(inside))

    def elasticity(self, n_params: Numbers) -> Numbers:
        at = np.log(np.asarray(n_params, float))
        inside = np.clip(at, self.smallest, self.largest)
        return 1.0 + np.where(at == inside, self.trend.deriv()(inside), 0.0)
