"""L(N, D) = E + (A/N^alpha + B/D^beta)^gamma.

Busbridge et al. 2025, eq. 8 (arXiv:2502.08606), their teacher law. L in nats per token, N in parameters, D in tokens.
gamma = 1 is Chinchilla; E = 0 with beta = 1 and gamma = alpha_D is Kaplan et al. 2020, eq. 1.5. One exponent more lets
the value of data depend on the size of the model, as it does. Good for densely sampled sweeps: on public ones it
predicts 2-8x better than Chinchilla's form. It fails on sweeps with few sizes or horizons, where gamma is not
identified and the law can be far off.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.laws.chinchilla import EXPONENT_BOUNDS, FLOOR_DEPTH
from fitting.laws.law import Law, Parameter

GAMMA_BOUNDS = (0.05, 3.0)  # published fits lie between 0.2 and 1.2


@dataclass(frozen=True)
class Gamma(Law):
    """theta = (a, alpha, b, beta, e, ln gamma): a and b are gamma ln(term) at the geometric-mean point."""

    @property
    def name(self) -> str:
        return "gamma"

    @property
    def equation(self) -> str:
        return "L(N, D) = E + (A/N^alpha + B/D^beta)^gamma"

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
            Parameter("ln_gamma", float(np.log(GAMMA_BOUNDS[0])), float(np.log(GAMMA_BOUNDS[1]))),
        )

    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        """As Chinchilla's, over four gammas; exponents are scaled so that the slopes at the centre stay alike."""
        centre_loss = float(np.exp(np.median(log_loss)))
        rows = []
        for floor, share, alpha, beta, gamma in itertools.product(
            (0.1, 0.5, 0.9), (0.3, 0.7), (0.2, 0.6), (0.2, 0.6), (0.2, 0.5, 1.0, 1.5)
        ):
            e = floor * float(np.exp(log_loss.min()))
            excess = max(centre_loss - e, 0.02 * centre_loss)
            a, b = (np.log(excess) + gamma * np.log(part) for part in (share, 1 - share))
            rows.append([a, alpha / gamma**0.5, b, beta / gamma**0.5, np.log(e), np.log(gamma)])
        return np.clip(
            np.asarray(rows),
            [p.lower for p in self.parameters(x, log_loss)],
            [p.upper for p in self.parameters(x, log_loss)],
        )

    def log_loss(self, theta: Any, x: Any) -> Any:
        import jax.numpy as jnp

        a, alpha, b, beta, e, ln_gamma = theta
        gamma = jnp.exp(ln_gamma)
        capacity, data = a / gamma - alpha * x[0], b / gamma - beta * x[1]
        return e + jnp.log1p(jnp.exp(gamma * jnp.logaddexp(capacity, data) - e))

    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        a, alpha, b, beta, e, ln_gamma = np.moveaxis(np.asarray(theta), -1, 0)
        gamma = np.exp(ln_gamma)
        return {
            "E": np.exp(e),
            "A": np.exp(a / gamma + alpha * centre[0]),
            "B": np.exp(b / gamma + beta * centre[1]),
            "alpha": alpha,
            "beta": beta,
            "gamma": gamma,
        }
