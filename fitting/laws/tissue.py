"""L(s) = L0 + A/S1^alpha - C S2.

Tissue et al. 2024, eq. 1 (arXiv:2408.11029). L in nats per token at step s; S1 = the sum of learning rates up to s and
S2 = the annealing area (`fitting.schedule_areas.lr_areas`), both in units of the learning rate. Each point is one step
of one run; rows of one run are one cluster. Good for one model at one batch size: a curve under one schedule predicts
the curve under another. It fails in warm-up, at other peak rates far from the fitted one, and far into a very slow
decay, where C S2 grows without limit (the Multi-Power Law of arXiv:2503.12811 saturates).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.laws.chinchilla import EXPONENT_BOUNDS, FLOOR_DEPTH
from fitting.laws.law import Law, Parameter, logarithm, numbers

LOG_DROP_BOUNDS = (-9.0, 2.0)  # ln of the loss that the fitted range of S2 removes, over the smallest loss


@dataclass(frozen=True)
class Tissue(Law):
    """theta = (a, alpha, ln C, e): a = ln of the power term at the geometric-mean S1, e = ln of L0 - C max(S2).

    The floor is taken at the most annealed point, where it is lowest: so L is above zero at every point.
    """

    @property
    def name(self) -> str:
        return "tissue"

    @property
    def equation(self) -> str:
        return "L = L0 + A/S1^alpha - C S2"

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("s1", "s2")

    def features(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """S2 stays linear: it is zero until the rate first falls, and below zero after it has risen."""
        return np.stack([logarithm(columns, "s1"), numbers(columns, "s2")], axis=-1)

    def centre(self, features: np.ndarray) -> np.ndarray:
        return np.stack([features[:, 0].mean(), features[:, 1].max()])

    def parameters(self, x: np.ndarray, log_loss: np.ndarray) -> tuple[Parameter, ...]:
        lowest, highest = float(log_loss.min()), float(log_loss.max())
        drop = lowest - float(np.log(max(np.ptp(x[:, 1]), 1e-30)))
        return (
            Parameter("a", lowest - 12.0, highest + 3.0),
            Parameter("alpha", *EXPONENT_BOUNDS),
            Parameter("ln_c", drop + LOG_DROP_BOUNDS[0], drop + LOG_DROP_BOUNDS[1]),
            Parameter("e", lowest - FLOOR_DEPTH, lowest + 0.1),
        )

    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        """Floors below the smallest loss; annealing explains a small, a middle or a large part of the rest."""
        spread, centre_loss = max(float(np.ptp(x[:, 1])), 1e-30), float(np.exp(np.median(log_loss)))
        rows = []
        for floor, share, alpha in itertools.product((0.3, 0.6, 0.8, 0.95), (0.02, 0.1, 0.4), (0.15, 0.4, 0.8)):
            e = floor * float(np.exp(log_loss.min()))
            excess = max(centre_loss - e, 0.02 * centre_loss)
            rows.append([np.log((1 - share) * excess), alpha, np.log(share * excess / spread), np.log(e)])
        return np.asarray(rows)

    def log_loss(self, theta: Any, x: Any) -> Any:
        import jax.numpy as jnp

        a, alpha, ln_c, e = theta
        annealed = jnp.exp(ln_c - e) * x[1]  # at most 0 at the fitted points
        # Beyond them annealing might take more than there is: then 1e-3 of the floor is left, not a negative loss.
        return e + jnp.log(jnp.maximum(1.0 + jnp.exp(a - alpha * x[0] - e) - annealed, 1e-3))

    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        a, alpha, ln_c, e = np.moveaxis(np.asarray(theta), -1, 0)
        return {
            "L0": np.exp(e) + np.exp(ln_c) * centre[1],
            "A": np.exp(a + alpha * centre[0]),
            "C": np.exp(ln_c),
            "alpha": alpha,
        }
