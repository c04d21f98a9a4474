"""L(C) = a + b C^-c0 (1 + (C/d1)^(1/f1))^(-c1 f1).

Caballero et al. 2023, eq. 1 with one break (arXiv:2210.14891). L in nats per token, C in training FLOPs, d1 the
compute of the break, f1 its width in ln C, c0 and c0 + c1 the slopes before and after it. Good for curves that bend
once on a log-log plot: emergent tasks, a recipe that changes with scale. Six constants: with fewer than about fifteen
points, or a break near the end of them, it follows the noise. A break beyond the largest run cannot be predicted.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.laws.chinchilla import FLOOR_DEPTH
from fitting.laws.law import Law, Parameter

SLOPE_BOUNDS = (-1.0, 4.0)  # before the break; below zero the loss rises with compute
BEND_BOUNDS = (-4.0, 4.0)  # change of slope at the break
WIDTH_BOUNDS = (-4.0, 0.5)  # ln of the break's width, as a part of the range of ln C


@dataclass(frozen=True)
class Broken(Law):
    """theta = (h, c0, c1, t, ln f, e): h = ln of the excess that the first branch has at the break t."""

    @property
    def name(self) -> str:
        return "broken"

    @property
    def equation(self) -> str:
        return "L(C) = a + b C^-c0 (1 + (C/d1)^(1/f1))^(-c1 f1)"

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("flops",)

    def parameters(self, x: np.ndarray, log_loss: np.ndarray) -> tuple[Parameter, ...]:
        lowest, highest = float(log_loss.min()), float(log_loss.max())
        log_range = float(np.log(max(np.ptp(x[:, 0]), 1e-9)))
        return (
            Parameter("h", lowest - 12.0, highest + 12.0),
            Parameter("c0", *SLOPE_BOUNDS),
            Parameter("c1", *BEND_BOUNDS),
            Parameter("t", float(x[:, 0].min()), float(x[:, 0].max())),
            Parameter("ln_f", log_range + WIDTH_BOUNDS[0], log_range + WIDTH_BOUNDS[1]),
            Parameter("e", lowest - FLOOR_DEPTH, lowest + 0.1),
        )

    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        """Breaks at the quarters of the range; the first branch meets the loss there."""
        order = np.argsort(x[:, 0])
        width = 0.1 * max(float(np.ptp(x[:, 0])), 1e-9)
        rows = []
        for floor, where, c0, c1 in itertools.product(
            (0.05, 0.5, 0.9), (0.25, 0.5, 0.75), (0.02, 0.1, 0.3, 0.8), (-0.1, 0.1, 0.5)
        ):
            t = float(x[:, 0].min() + where * np.ptp(x[:, 0]))
            loss = float(np.exp(np.interp(t, x[order, 0], log_loss[order])))
            e = floor * float(np.exp(log_loss.min()))
            h = np.log(max(loss - e, 0.02 * loss)) + c1 * width * np.log(2.0)
            rows.append([h, c0, c1, t, np.log(width), np.log(e)])
        return np.asarray(rows)

    def log_loss(self, theta: Any, x: Any) -> Any:
        import jax.numpy as jnp

        h, c0, c1, t, ln_f, e = theta
        width, past = jnp.exp(ln_f), x[0] - t
        return jnp.logaddexp(e, h - c0 * past - c1 * width * jnp.logaddexp(past / width, 0.0))

    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        h, c0, c1, t, ln_f, e = np.moveaxis(np.asarray(theta), -1, 0)
        log_break = t + centre[0]
        return {
            "a": np.exp(e),
            "b": np.exp(h + c0 * log_break),
            "c0": c0,
            "c1": c1,
            "d1": np.exp(log_break),
            "f1": np.exp(ln_f),
        }
