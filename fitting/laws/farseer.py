"""L(N, D) = exp(s N^q + S) + exp(B N^b + Q) D^-exp(A N^a + E).

Li et al. 2025, "Farseer" (arXiv:2506.10972). L in the unit of the points (theirs: bits per character), N in
parameters, D in tokens. The power law in D keeps its form, but its floor, its height and its exponent all depend on N.
Good for dense grids: many horizons at each of many sizes, over two decades of N. Nine constants: on an ordinary sweep
they are not identified, and far beyond the points nothing keeps the exponent of D or the slope of the floor sensible.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.laws.law import Law, Parameter

# ln f(N) = P N^p + R is written as level + slope (e^(p n) - 1)/p with n = ln N - centre: a straight line for p = 0,
# where P and R are infinite. Published p: 0.13, -0.17, 0.05.
POWER_BOUNDS = (-0.4, 0.4)
# Origin of ln D. A power law whose exponent depends on N has no mean point in D that could be moved at will.
LOG_D_ORIGIN = float(np.log(1e10))


@dataclass(frozen=True)
class Farseer(Law):
    """theta = (level, slope, power) of the floor, of the data term at D = 1e10 and of its exponent, at the mean N."""

    @property
    def name(self) -> str:
        return "farseer"

    @property
    def equation(self) -> str:
        return "L(N, D) = exp(s N^q + S) + exp(B N^b + Q) D^-exp(A N^a + E)"

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("n_params", "d_tokens")

    def centre(self, features: np.ndarray) -> np.ndarray:
        return np.asarray([features[:, 0].mean(), LOG_D_ORIGIN])

    def parameters(self, x: np.ndarray, log_loss: np.ndarray) -> tuple[Parameter, ...]:
        lowest, highest = float(log_loss.min()), float(log_loss.max())
        return (
            Parameter("floor", lowest - 3.0, highest + 0.1),
            Parameter("floor_slope", -2.0, 1.0),
            Parameter("q", *POWER_BOUNDS),
            Parameter("data", lowest - 12.0, highest + 12.0),
            Parameter("data_slope", -3.0, 3.0),
            Parameter("b", *POWER_BOUNDS),
            Parameter("ln_exponent", float(np.log(0.01)), float(np.log(4.0))),
            Parameter("exponent_slope", -0.5, 0.5),
            Parameter("a", *POWER_BOUNDS),
        )

    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        lowest = float(np.exp(log_loss.min()))
        centre_loss = float(np.exp(np.median(log_loss)))
        rows = []
        for part, exponent, floor_slope, data_slope, (q, b, a) in itertools.product(
            (0.5, 0.75, 0.95),
            (0.2, 0.4, 0.7),
            (-0.02, -0.1, -0.3),
            (0.0, -0.3),
            ((0.1, -0.15, 0.05), (-0.1, 0.1, -0.1)),
        ):
            floor = part * lowest
            data = np.log(max(centre_loss - floor, 0.02 * centre_loss)) + exponent * float(np.median(x[:, 1]))
            rows.append([np.log(floor), floor_slope, q, data, data_slope, b, np.log(exponent), 0.02, a])
        return np.asarray(rows)

    def log_loss(self, theta: Any, x: Any) -> Any:
        import jax.numpy as jnp

        floor, floor_slope, q, data, data_slope, b, ln_exponent, exponent_slope, a = theta
        exponent = jnp.exp(ln_exponent + exponent_slope * _bend(a, x[0]))
        # `data` and `data_slope` are those at D = 1e10; the published B and Q are those at D = 1.
        level, slope = _at_one_token(data, data_slope, ln_exponent, exponent_slope, jnp.exp)
        log_data = level + slope * _bend(b, x[0]) - exponent * (x[1] + LOG_D_ORIGIN)
        return jnp.logaddexp(floor + floor_slope * _bend(q, x[0]), log_data)

    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        floor, floor_slope, q, data, data_slope, b, ln_exponent, exponent_slope, a = np.moveaxis(
            np.asarray(theta), -1, 0
        )
        level, slope = _at_one_token(data, data_slope, ln_exponent, exponent_slope, np.exp)
        return {
            "s": floor_slope / q * np.exp(-q * centre[0]),
            "q": q,
            "S": floor - floor_slope / q,
            "B": slope / b * np.exp(-b * centre[0]),
            "b": b,
            "Q": level - slope / b,
            "A": exponent_slope / a * np.exp(-a * centre[0]),
            "a": a,
            "E": ln_exponent - exponent_slope / a,
        }


def _bend(power: Any, n: Any) -> Any:
    """(e^(power n) - 1)/power; n where power is zero."""
    import jax.numpy as jnp

    z = power * n
    small = jnp.abs(z) < 1e-3
    safe = jnp.where(small, 1.0, z)
    return n * jnp.where(small, 1 + z / 2 + z**2 / 6 + z**3 / 24, jnp.expm1(safe) / safe)


def _at_one_token(data: Any, data_slope: Any, ln_exponent: Any, exponent_slope: Any, exp: Any) -> tuple[Any, Any]:
    """Level and slope in ln N of ln(data term) at D = 1, from those at D = e^LOG_D_ORIGIN."""
    reach = LOG_D_ORIGIN * exp(ln_exponent)
    return data + reach, data_slope + reach * exponent_slope
