"""L(N, D) = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D.

Kaplan et al. 2020, eq. 1.5 (arXiv:2001.08361). L in nats per token, N in parameters (they count non-embedding ones),
D in tokens. Good for describing old results in their own constants, and for runs so far above the entropy of text that
no floor shows. It has no floor: it predicts a loss of zero at infinite scale, so it is too low beyond the points.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.laws.law import Law, Parameter

# Published fits: 0.05..0.11. The lower end keeps N_c = exp(a / alpha_N) a finite number.
EXPONENT_BOUNDS = (0.03, 2.0)


@dataclass(frozen=True)
class Kaplan(Law):
    """theta = (a, alpha_n, b, alpha_d): a, b = ln of the loss at the centre if D, or N, were infinite."""

    @property
    def name(self) -> str:
        return "kaplan"

    @property
    def equation(self) -> str:
        return "L(N, D) = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D"

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("n_params", "d_tokens")

    def parameters(self, x: np.ndarray, log_loss: np.ndarray) -> tuple[Parameter, ...]:
        lowest, highest = float(log_loss.min()), float(log_loss.max())
        return (
            Parameter("a", lowest - 12.0, highest + 3.0),
            Parameter("alpha_n", *EXPONENT_BOUNDS),
            Parameter("b", lowest - 12.0, highest + 3.0),
            Parameter("alpha_d", *EXPONENT_BOUNDS),
        )

    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        """The loss at the centre shared between the two terms inside the bracket."""
        centre_loss = float(np.median(log_loss))
        rows = []
        for share, alpha_n, alpha_d in itertools.product(
            (0.1, 0.3, 0.5, 0.7, 0.9), (0.05, 0.1, 0.2, 0.4), (0.05, 0.1, 0.2, 0.4)
        ):
            a, b = (centre_loss + alpha_d * np.log(part) for part in (share, 1 - share))
            rows.append([a, alpha_n, b, alpha_d])
        return np.asarray(rows)

    def log_loss(self, theta: Any, x: Any) -> Any:
        import jax.numpy as jnp

        a, alpha_n, b, alpha_d = theta
        return alpha_d * jnp.logaddexp((a - alpha_n * x[0]) / alpha_d, b / alpha_d - x[1])

    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        a, alpha_n, b, alpha_d = np.moveaxis(np.asarray(theta), -1, 0)
        return {
            "N_c": np.exp(a / alpha_n + centre[0]),
            "D_c": np.exp(b / alpha_d + centre[1]),
            "alpha_N": alpha_n,
            "alpha_D": alpha_d,
        }
