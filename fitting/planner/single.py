"""The belief that one fitted law leaves: its bootstrap, the noise of one run, and the fixed discrepancy of predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fitting.planner.belief import SEED, TAILS, Belief, Provenance, at_its_own_level
from fitting.planner.blend import Blend
from fitting.planner.surface import Surface, training_flops


@dataclass(frozen=True)
class SingleLaw(Belief):
    """One law with bootstrap draws of its constants."""

    shown: Provenance
    surface: Surface
    resampled: Surface  # (DRAWS,)
    noise: float  # standard deviation of ln L of one run
    at_home: float  # model discrepancy at the fitted compute, standard deviation of ln L
    per_decade: float  # and for every decade beyond

    @property
    def provenance(self) -> Provenance:
        return self.shown

    def blend(self, flops: float) -> Blend:
        return Blend((self.surface,), (1.0,))

    def draws(self, flops: float) -> Surface:
        return self.resampled

    def loss_variance(self, n_params: float, d_tokens: float) -> Mapping[str, float]:
        discrepancy = self.at_home + self.per_decade * self.decades_beyond(training_flops(n_params, d_tokens))
        return {
            "constants of the law": float(np.var(np.log(self.resampled.loss(n_params, d_tokens)))),
            "noise of one run": self.noise**2,
            "the law's own error, growing with distance": discrepancy**2,
        }

    def loss_band(self, n_params: float, d_tokens: float) -> tuple[float, float, float]:
        centre = float(self.surface.loss(n_params, d_tokens))
        logs = np.log(self.resampled.loss(n_params, d_tokens))
        shocks = np.random.RandomState(SEED).standard_normal(len(logs))
        low, high = np.exp(np.quantile(logs + shocks * self._own_miss(n_params, d_tokens), TAILS))
        return centre, min(float(low), centre), max(float(high), centre)

    def wanted(self, loss: float, n_params: float, d_tokens: float, shocks: np.ndarray) -> np.ndarray:
        return at_its_own_level(self, self.resampled, loss, n_params, d_tokens, shocks)

    def _own_miss(self, n_params: float, d_tokens: float) -> float:
        """Standard deviation of ln L of one run around its law."""
        parts = self.loss_variance(n_params, d_tokens)
        return float(np.sqrt(sum(parts.values()) - parts["constants of the law"]))
