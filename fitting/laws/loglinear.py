"""y = c N^p D^q, so ln y = ln c + p ln N + q ln D.

Li et al. 2025, "Step Law" (arXiv:2503.04715): the best learning rate (p = -0.713, q = 0.307) and batch size in tokens
(p = 0, q = 0.571). The target y is any positive column, such as the best rate of each (N, D); its unit is that of the
column. Good for recipe rules inside the fitted range, from cells whose best value is not on the edge of the sweep.
It is no law of the loss, and a power law in the tuned range need not hold a decade beyond it. Residuals of ln y are
of the order of the sweep's spacing, not 1e-3: a wide Huber (delta of 10) makes the fit ordinary least squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.laws.law import Law, Parameter

EXPONENT_BOUNDS = (-4.0, 4.0)


@dataclass(frozen=True)
class LogLinear(Law):
    """theta = (ln y at the geometric-mean point, p, q)."""

    @property
    def name(self) -> str:
        return "loglinear"

    @property
    def equation(self) -> str:
        return "y(N, D) = c N^p D^q"

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("n_params", "d_tokens")

    @property
    def surface(self) -> bool:
        return False  # y is a learning rate or a batch size, not a loss

    def parameters(self, x: np.ndarray, log_loss: np.ndarray) -> tuple[Parameter, ...]:
        return (
            Parameter("level", float(log_loss.min()) - 12.0, float(log_loss.max()) + 12.0),
            Parameter("p", *EXPONENT_BOUNDS),
            Parameter("q", *EXPONENT_BOUNDS),
        )

    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        """Least squares, which is the answer up to outliers, and no slope at all."""
        squares = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), log_loss, rcond=None)[0]
        return np.clip(
            [squares, [float(np.median(log_loss)), 0.0, 0.0]],
            [p.lower for p in self.parameters(x, log_loss)],
            [p.upper for p in self.parameters(x, log_loss)],
        )

    def log_loss(self, theta: Any, x: Any) -> Any:
        level, p, q = theta
        return level + p * x[0] + q * x[1]

    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        level, p, q = np.moveaxis(np.asarray(theta), -1, 0)
        return {"c": np.exp(level - p * centre[0] - q * centre[1]), "p": p, "q": q}
