"""The belief of `--law auto`: the average of laws of fitting/ensemble.py, ready for targets up to 4 decades away.

Numbers equal those of `predict`: the same modes, weights, scale and multipliers, evaluated in numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fitting.ensemble import HOME, QUANTILES, Average, Ensemble
from fitting.planner.belief import DRAWS, LEVEL, NORMAL_90, SEED, Belief, Provenance, at_its_own_level
from fitting.planner.blend import Blend
from fitting.planner.surface import Surface, training_flops
from fitting.posterior import Mode

STEP = 1e-5  # of theta, for slopes by central differences: error 1e-10 of ln L


@dataclass(frozen=True)
class AverageLaw(Belief):
    """Several laws with the modes of each half decade of target compute."""

    shown: Provenance
    ensemble: Ensemble
    theta_draws: Mapping[tuple[str, int], np.ndarray]  # by law and half decade: (draws, parameters)

    @property
    def provenance(self) -> Provenance:
        return self.shown

    def blend(self, flops: float) -> Blend:
        return Blend(
            tuple(_surface(mode, mode.theta) for mode in self._modes(flops)),
            tuple(member.weight for member in self.ensemble.members),
        )

    def draws(self, flops: float) -> Surface:
        """Laws in proportion to their weights, each with constants from its posterior (fitting/planner/sampling.py)."""
        rng = np.random.RandomState(SEED)
        weights = np.asarray([member.weight for member in self.ensemble.members])
        counts = np.diff(np.round(np.concatenate([[0.0], np.cumsum(weights)]) * DRAWS).astype(int))
        group, parts = self._group(flops), []
        for mode, count in zip(self._modes(flops), counts, strict=True):
            theta = self.theta_draws[mode.law.name, group]
            parts.append(_surface(mode, theta[np.arange(count) % len(theta)]))
        names = ("E", "A", "B", "alpha", "beta", "gamma")
        order = rng.permutation(DRAWS)  # laws mixed, so that any part of the draws is a fair sample
        columns = [np.concatenate([np.broadcast_to(getattr(p, n), np.shape(p.A)) for p in parts]) for n in names]
        return Surface(*(column[order] for column in columns))

    def loss_variance(self, n_params: float, d_tokens: float) -> Mapping[str, float]:
        """The parts of Average.scale, shrunk to what the interval's multiplier makes of them."""
        average, variances, losses = self._forecast(n_params, d_tokens)
        weights = np.asarray([member.weight for member in self.ensemble.members])
        disagreement = float(weights @ (losses - weights @ losses) ** 2)
        parameters = float(weights @ variances)
        distance = float(average.scale[0] ** 2) - parameters - disagreement - HOME**2
        shrink = (QUANTILES[LEVEL] / NORMAL_90) ** 2
        return {
            "constants of the laws": shrink * parameters,
            "choice of the law": shrink * disagreement,
            "one run, however near": shrink * HOME**2,
            "the laws' own error, growing with distance": shrink * distance,
        }

    def loss_band(self, n_params: float, d_tokens: float) -> tuple[float, float, float]:
        average, _, _ = self._forecast(n_params, d_tokens)
        low, high = average.band(LEVEL)
        return float(average.loss[0]), float(low[0]), float(high[0])

    def wanted(self, loss: float, n_params: float, d_tokens: float, shocks: np.ndarray) -> np.ndarray:
        draws = self.draws(training_flops(n_params, d_tokens))
        return at_its_own_level(self, draws, loss, n_params, d_tokens, shocks)

    def _forecast(self, n_params: float, d_tokens: float) -> tuple[Average, np.ndarray, np.ndarray]:
        """The forecast of one run, and variance and ln L under each law."""
        flops = np.asarray([training_flops(n_params, d_tokens)])
        modes = self._modes(float(flops[0]))
        losses = np.asarray([np.log(_surface(mode, mode.theta).loss(n_params, d_tokens)) for mode in modes])
        slopes = [_slopes(mode, n_params, d_tokens) for mode in modes]
        variances = np.asarray([s @ mode.covariance @ s for s, mode in zip(slopes, modes, strict=True)])
        weights = np.asarray([member.weight for member in self.ensemble.members])
        return self.ensemble.average(weights, losses[:, None], variances[:, None], flops), variances, losses

    def _group(self, flops: float) -> int:
        return int(self.ensemble.half_decades(np.asarray([flops]))[0])

    def _modes(self, flops: float) -> list[Mode]:
        group = self._group(flops)
        return [self.ensemble.modes[member.law, group] for member in self.ensemble.members]


def _surface(mode: Mode, theta: np.ndarray) -> Surface:
    surface = Surface.of(mode.law.constants(theta, mode.centre))
    assert surface is not None  # all members of the ensemble are two-term laws
    return surface


def _slopes(mode: Mode, n_params: float, d_tokens: float) -> np.ndarray:
    """dln L / dtheta, (parameters,)."""
    steps = STEP * np.eye(len(mode.theta))
    above, below = (np.log(_surface(mode, mode.theta + side * steps).loss(n_params, d_tokens)) for side in (1.0, -1.0))
    return (above - below) / (2 * STEP)
