"""L(C) = E + K/C^kappa.

The law along the compute-optimal frontier: Hoffmann et al. 2022 (arXiv:2203.15556) put into its own optimum, with
kappa = alpha beta/(alpha + beta); Kaplan et al. 2020, eq. 1.3 (arXiv:2001.08361) has E = 0. L in nats per token, C in
training FLOPs as the flops column counts them. Good for a ladder of runs that all follow one recipe from C to N and D.
It says nothing about other N and D, and runs off the frontier bend it: the floor E then moves most.
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
class Compute(Law):
    """theta = (k, kappa, e): k = ln of the power term at the geometric-mean compute, e = ln of the floor."""

    @property
    def name(self) -> str:
        return "compute"

    @property
    def equation(self) -> str:
        return "L(C) = E + K/C^kappa"

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("flops",)

    def parameters(self, x: np.ndarray, log_loss: np.ndarray) -> tuple[Parameter, ...]:
        lowest, highest = float(log_loss.min()), float(log_loss.max())
        return (
            Parameter("k", lowest - 12.0, highest + 3.0),
            Parameter("kappa", *EXPONENT_BOUNDS),
            Parameter("e", lowest - FLOOR_DEPTH, lowest + 0.1),
        )

    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        centre_loss = float(np.exp(np.median(log_loss)))
        rows = []
        for floor, kappa in itertools.product((0.01, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97), (0.05, 0.1, 0.2, 0.4)):
            e = floor * float(np.exp(log_loss.min()))
            rows.append([np.log(max(centre_loss - e, 0.02 * centre_loss)), kappa, np.log(e)])
        return np.asarray(rows)

    def log_loss(self, theta: Any, x: Any) -> Any:
        import jax.numpy as jnp

        k, kappa, e = theta
        return e + jnp.log1p(jnp.exp(k - kappa * x[0] - e))

    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        k, kappa, e = np.moveaxis(np.asarray(theta), -1, 0)
        return {"E": np.exp(e), "K": np.exp(k + kappa * centre[0]), "kappa": kappa}
