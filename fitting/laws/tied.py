"""L(N, D) = E + A/N^eta + B/D^eta.

Gadre et al. 2024 (arXiv:2403.08540), whose L(C, M) = E + (a M^eta' + b M^-eta') C^-eta' is this surface at M = D/N and
C = 6ND: eta = 2 eta', a = A 6^eta', b = B 6^eta'. L in nats per token. One exponent for both terms means that the
optimal D/N does not change with compute. With four constants it is the law for few runs (they fit it to five). It
fails where the two exponents differ: its optimal D/N is then wrong away from the fitted compute.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.laws.chinchilla import EXPONENT_BOUNDS, FLOOR_DEPTH
from fitting.laws.law import Law, Parameter


@dataclass(frozen=True)
class Tied(Law):
    """theta = (a, b, eta, e): a = ln of the N-term and b = ln of the D-term at the geometric-mean point."""

    @property
    def name(self) -> str:
        return "tied"

    @property
    def equation(self) -> str:
        return "L(N, D) = E + A/N^eta + B/D^eta"

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("n_params", "d_tokens")

    def parameters(self, x: np.ndarray, log_loss: np.ndarray) -> tuple[Parameter, ...]:
        lowest, highest = float(log_loss.min()), float(log_loss.max())
        return (
            Parameter("a", lowest - 12.0, highest + 3.0),
            Parameter("b", lowest - 12.0, highest + 3.0),
            Parameter("eta", *EXPONENT_BOUNDS),
            Parameter("e", lowest - FLOOR_DEPTH, lowest + 0.1),
        )

    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        """As Chinchilla's: floors below the smallest loss, the rest shared between the two terms."""
        centre_loss = float(np.exp(np.median(log_loss)))
        rows = []
        for floor, share, eta in itertools.product((0.3, 0.6, 0.8, 0.95), (0.2, 0.5, 0.8), (0.15, 0.4, 0.8)):
            e = floor * float(np.exp(log_loss.min()))
            excess = max(centre_loss - e, 0.02 * centre_loss)
            rows.append([np.log(share * excess), np.log((1 - share) * excess), eta, np.log(e)])
        return np.asarray(rows)

    def log_loss(self, theta: Any, x: Any) -> Any:
        import jax.numpy as jnp

        a, b, eta, e = theta
        return e + jnp.log1p(jnp.exp(a - eta * x[0] - e) + jnp.exp(b - eta * x[1] - e))

    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        a, b, eta, e = np.moveaxis(np.asarray(theta), -1, 0)
        return {"E": np.exp(e), "A": np.exp(a + eta * centre[0]), "B": np.exp(b + eta * centre[1]), "eta": eta}
