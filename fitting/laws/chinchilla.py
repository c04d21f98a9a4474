"""L(N, D) = E + A/N^alpha + B/D^beta.

Hoffmann et al. 2022, eq. 2 (arXiv:2203.15556); fitted as in their appendix D.3 and Besiroglu et al. 2024
(arXiv:2404.10102). L in nats per token, N in parameters, D in tokens. Good for one recipe with N and D both varied
over two decades or more. It fails on a single D/N ray (A and B cannot be told apart), and its median error at 10x
the fitted compute is 2.6% on public sweeps, so its bare bootstrap interval is too narrow.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.laws.law import Law, Parameter

# Wide enough for every published fit (0.05..0.75); a hit is reported, never hidden.
EXPONENT_BOUNDS = (0.0, 4.0)
# exp(-7) = 0.1% of the smallest loss: below this, E has no influence on any prediction.
FLOOR_DEPTH = 7.0


@dataclass(frozen=True)
class Chinchilla(Law):
    """theta = (a, alpha, b, beta, e): a = ln of the N-term and b = ln of the D-term at the geometric-mean point."""

    @property
    def name(self) -> str:
        return "chinchilla"

    @property
    def equation(self) -> str:
        return "L(N, D) = E + A/N^alpha + B/D^beta"

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("n_params", "d_tokens")

    def parameters(self, x: np.ndarray, log_loss: np.ndarray) -> tuple[Parameter, ...]:
        lowest, highest = float(log_loss.min()), float(log_loss.max())
        return (
            Parameter("a", lowest - 12.0, highest + 3.0),
            Parameter("alpha", *EXPONENT_BOUNDS),
            Parameter("b", lowest - 12.0, highest + 3.0),
            Parameter("beta", *EXPONENT_BOUNDS),
            Parameter("e", lowest - FLOOR_DEPTH, lowest + 0.1),
        )

    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        """Floors at 30..95% of the smallest loss; the rest at the centre shared between the two terms."""
        centre_loss = float(np.exp(np.median(log_loss)))
        rows = []
        for floor, share, alpha, beta in itertools.product(
            (0.3, 0.6, 0.8, 0.95), (0.2, 0.5, 0.8), (0.15, 0.4, 0.8), (0.15, 0.4, 0.8)
        ):
            e = floor * float(np.exp(log_loss.min()))
            excess = max(centre_loss - e, 0.02 * centre_loss)
            rows.append([np.log(share * excess), alpha, np.log((1 - share) * excess), beta, np.log(e)])
        return np.asarray(rows)

    def log_loss(self, theta: Any, x: Any) -> Any:
        import jax.numpy as jnp

        a, alpha, b, beta, e = theta
        # Relative to the floor, which the bounds keep above exp(-7) of the loss: no overflow, one log.
        return e + jnp.log1p(jnp.exp(a - alpha * x[0] - e) + jnp.exp(b - beta * x[1] - e))

    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        a, alpha, b, beta, e = np.moveaxis(np.asarray(theta), -1, 0)
        return {
            "E": np.exp(e),
            "A": np.exp(a + alpha * centre[0]),
            "B": np.exp(b + beta * centre[1]),
            "alpha": alpha,
            "beta": beta,
        }
