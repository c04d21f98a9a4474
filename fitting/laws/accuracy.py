"""acc(L) = p0 + (p1 - p0) sigmoid(k (l0 - L)).

Second step of Bhagia et al. 2024, "OLMo ladder" (arXiv:2412.04403), after Llama 3 (arXiv:2407.21783). The input
column `loss_in` is the loss or the bits per byte of the gold answer; the target is an accuracy in (0, 1). p0 is
chance and p1 the ceiling of the task; p1 below p0 describes an error rate. Good for tasks whose points span the bend.
On one flank of it only, p0, p1 and k trade against each other and the prediction beyond is a guess; many tasks are not
predictable at all (39% are, arXiv:2507.00885). Residuals are of ln acc: use a delta of the noise of the accuracy.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.errors import InputError
from fitting.laws.law import Law, Parameter, numbers

LEVEL_BOUNDS = (1e-4, 1.0)
LOG_STEEPNESS_BOUNDS = (-3.0, 5.5)  # ln of k times the range of the input: nearly straight .. a step


@dataclass(frozen=True)
class Accuracy(Law):
    """theta = (p0, p1, ln k, l0), l0 relative to the mean input."""

    @property
    def name(self) -> str:
        return "accuracy"

    @property
    def equation(self) -> str:
        return "acc(L) = p0 + (p1 - p0) sigmoid(k (l0 - L))"

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("loss_in",)

    def features(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        return numbers(columns, "loss_in")[:, None]

    def parameters(self, x: np.ndarray, log_loss: np.ndarray) -> tuple[Parameter, ...]:
        if log_loss.max() >= 0:
            largest = float(np.exp(log_loss.max()))
            raise InputError(f"the target goes up to {largest:g}; the accuracy law needs 0 < accuracy < 1, not percent")
        lowest, highest = float(x[:, 0].min()), float(x[:, 0].max())
        spread = max(highest - lowest, 1e-9)
        low, high = (bound - float(np.log(spread)) for bound in LOG_STEEPNESS_BOUNDS)
        return (
            Parameter("p0", *LEVEL_BOUNDS),
            Parameter("p1", *LEVEL_BOUNDS),
            Parameter("ln_k", low, high),
            Parameter("l0", lowest - 3 * spread, highest + 3 * spread),
        )

    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        lowest, spread = float(x[:, 0].min()), max(float(np.ptp(x)), 1e-9)
        worst, best = float(np.exp(log_loss.min())), float(np.exp(log_loss.max()))
        if np.corrcoef(x[:, 0], log_loss)[0, 1] > 0:
            worst, best = best, worst
        rows = []
        for p0, p1, k, where in itertools.product(
            (worst, worst / 2), (best, (1 + best) / 2), (2.0, 6.0, 20.0), (-0.5, 0.1, 0.5, 0.9)
        ):
            rows.append([p0, p1, np.log(k / spread), lowest + where * spread])
        return np.clip(
            np.asarray(rows),
            [p.lower for p in self.parameters(x, log_loss)],
            [p.upper for p in self.parameters(x, log_loss)],
        )

    def log_loss(self, theta: Any, x: Any) -> Any:
        import jax
        import jax.numpy as jnp

        p0, p1, ln_k, l0 = theta
        z = jnp.exp(ln_k) * (l0 - x[0])
        return jnp.log(p0 * jax.nn.sigmoid(-z) + p1 * jax.nn.sigmoid(z))

    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        p0, p1, ln_k, l0 = np.moveaxis(np.asarray(theta), -1, 0)
        return {"p0": p0, "p1": p1, "k": np.exp(ln_k), "l0": l0 + centre[0]}
