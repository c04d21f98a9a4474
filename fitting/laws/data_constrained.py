"""L(N, D, U) = E + A/N'^alpha + B/D'^beta, D' = U (1 + R_D (1 - e^(-(D/U - 1)/R_D))), N' alike from U_N and R_N.

Muennighoff et al. 2023 (arXiv:2305.16264), as their code has it. L in nats per token, N in parameters, D in tokens
seen, U in unique tokens among them (U above D counts as D); U_N = min(N, the compute-optimal N for U tokens). R_D is
the number of repeats after which one more is worth 1/e of new data. Good for runs that repeat their data. R_D and R_N
are poorly determined even on the authors' 182 runs (R_D anywhere above 5): read predictions, not these constants. The
law cannot rise again, so it misses overfitting at many epochs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.laws.chinchilla import FLOOR_DEPTH
from fitting.laws.law import Law, Parameter

EXPONENT_BOUNDS = (0.02, 4.0)  # above zero: U_N divides by alpha
# 1/R, the share of its value that a repeat loses: a million as good as new .. worthless after the first. The objective
# is flat in ln R for large R; in 1/R a search that goes there ends, at the bound.
DECAY_BOUNDS = (1e-6, 1e2)
LOG_EXCESS_LIMIT = 50.0  # e^50 repeats: beyond the largest R, the exponential has long been zero


@dataclass(frozen=True)
class DataConstrained(Law):
    """theta = (a, alpha, b, beta, e, 1/R_D, 1/R_N); a, b, e as Chinchilla's."""

    @property
    def name(self) -> str:
        return "data_constrained"

    @property
    def equation(self) -> str:
        return "L(N, D, U) = E + A/N'^alpha + B/D'^beta, D' = U (1 + R_D (1 - e^(-(D/U - 1)/R_D)))"

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("n_params", "d_tokens", "unique_tokens")

    def centre(self, features: np.ndarray) -> np.ndarray:
        """D and U share their origin, so that D/U, the epochs, stays what it is."""
        mean = features.mean(axis=0)
        return np.stack([mean[0], mean[1], mean[1]])

    def parameters(self, x: np.ndarray, log_loss: np.ndarray) -> tuple[Parameter, ...]:
        lowest, highest = float(log_loss.min()), float(log_loss.max())
        return (
            Parameter("a", lowest - 12.0, highest + 3.0),
            Parameter("alpha", *EXPONENT_BOUNDS),
            Parameter("b", lowest - 12.0, highest + 3.0),
            Parameter("beta", *EXPONENT_BOUNDS),
            Parameter("e", lowest - FLOOR_DEPTH, lowest + 0.1),
            Parameter("1/R_D", *DECAY_BOUNDS),
            Parameter("1/R_N", *DECAY_BOUNDS),
        )

    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        centre_loss = float(np.exp(np.median(log_loss)))
        rows = []
        for floor, share, alpha, beta, r_d, r_n in itertools.product(
            (0.3, 0.6, 0.9), (0.3, 0.7), (0.2, 0.5), (0.2, 0.5), (3.0, 30.0), (1.0, 10.0)
        ):
            e = floor * float(np.exp(log_loss.min()))
            excess = max(centre_loss - e, 0.02 * centre_loss)
            a, b = np.log(share * excess), np.log((1 - share) * excess)
            rows.append([a, alpha, b, beta, np.log(e), 1 / r_d, 1 / r_n])
        return np.asarray(rows)

    def log_loss(self, theta: Any, x: Any) -> Any:
        import jax.numpy as jnp

        a, alpha, b, beta, e, decay_d, decay_n = theta
        log_n, log_d = x[0], x[1]
        log_u = jnp.minimum(x[2], log_d)
        # N* of a run that is compute-optimal at D = U, from A alpha N^-alpha = B beta U^-beta (Hoffmann et al. 2022).
        log_u_n = jnp.minimum((a - b + jnp.log(alpha / beta) + beta * log_u) / alpha, log_n)
        log_n = log_u_n + _gain(log_n - log_u_n, decay_n)
        log_d = log_u + _gain(log_d - log_u, decay_d)
        return jnp.logaddexp(e, jnp.logaddexp(a - alpha * log_n, b - beta * log_d))

    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        a, alpha, b, beta, e, decay_d, decay_n = np.moveaxis(np.asarray(theta), -1, 0)
        return {
            "E": np.exp(e),
            "A": np.exp(a + alpha * centre[0]),
            "B": np.exp(b + beta * centre[1]),
            "alpha": alpha,
            "beta": beta,
            "R_D": 1 / decay_d,
            "R_N": 1 / decay_n,
        }


def _gain(log_times: Any, decay: Any) -> Any:
    """ln(1 + R (1 - e^(-(times - 1)/R))) with R = 1/decay: by how much `times` as many tokens count as more."""
    import jax.numpy as jnp

    repeats = jnp.expm1(jnp.minimum(log_times, LOG_EXCESS_LIMIT))
    return jnp.log1p(-jnp.expm1(-repeats * decay) / decay)
