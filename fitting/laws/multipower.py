"""L(s) = L0 + A/S1^alpha - B sum_k (eta_{k-1} - eta_k) G_k(s), G_k(s) = 1 - (1 + C S_k(s)/eta_k^gamma)^-beta.

Luo et al. 2025, "Multi-Power Law" (arXiv:2503.12811), in the signs of their code. L in nats per token at step s; eta
the learning rate, S1 the sum of rates up to s, S_k the sum of those from k on, both in units of the rate: `lr_falls`
of fitting/schedule_areas.py makes the columns, the falls of a schedule gathered into NODES of them. Each point is one
step of one run; rows of one run are one cluster. Good for one model at one batch size: curves under three schedules
predict those under others to 0.1 to 0.2% in the mean. It fails in warm-up and for other peak rates; C, beta and gamma
trade against each other (their printed constants lie well above the optimum of their objective): read predictions.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitting.laws.chinchilla import EXPONENT_BOUNDS, FLOOR_DEPTH
from fitting.laws.law import Law, Parameter, logarithm, numbers
from fitting.laws.tissue import LOG_DROP_BOUNDS
from fitting.schedule_areas import FALLEN, NODES, S1, fall_columns

LOG_C_BOUNDS = (-10.0, 10.0)  # ln of C S/eta^gamma at the geometric-mean node: no fall is felt yet .. all are, at once
BETA_BOUNDS = (0.02, 4.0)  # published: 0.58 .. 0.60; at 0 no fall is ever felt, and B has no meaning
GAMMA_BOUNDS = (0.0, 2.0)  # published: 0.63 .. 0.66


@dataclass(frozen=True)
class MultiPower(Law):
    """theta = (a, alpha, ln B, c, beta, gamma, e): a, c at the geometric means, e = ln of L0 - B max(sum of falls).

    The floor is taken where every fall is felt in full, so that L is above zero at every point.
    """

    @property
    def name(self) -> str:
        return "multipower"

    @property
    def equation(self) -> str:
        return "L = L0 + A/S1^alpha - B sum_k (eta_k-1 - eta_k) (1 - (1 + C S_k/eta_k^gamma)^-beta)"

    @property
    def inputs(self) -> tuple[str, ...]:
        return (S1, FALLEN, *itertools.chain.from_iterable(fall_columns()))

    @property
    def varied(self) -> tuple[str, ...]:
        return (S1, FALLEN)  # a node may be empty at all points

    def features(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """(points, 2 + 3 NODES): ln S1, the sum of falls, each node's fall, and ln of its rate and of its area."""
        falls, rates, areas = fall_columns()
        parts = [logarithm(columns, S1), numbers(columns, FALLEN)]
        parts += [numbers(columns, name) for name in falls]
        parts += [logarithm(columns, name) for name in (*rates, *areas)]
        return np.stack(parts, axis=-1)

    def centre(self, features: np.ndarray) -> np.ndarray:
        falls, rates, areas = _nodes(features.T)
        return np.concatenate(
            [
                [features[:, 0].mean(), features[:, 1].max()],
                np.zeros(len(falls)),
                np.full(NODES, rates.mean()),
                np.full(NODES, areas.mean()),
            ]
        )

    def parameters(self, x: np.ndarray, log_loss: np.ndarray) -> tuple[Parameter, ...]:
        lowest, highest = float(log_loss.min()), float(log_loss.max())
        drop = lowest - float(np.log(max(np.ptp(x[:, 1]), 1e-30)))
        return (
            Parameter("a", lowest - 12.0, highest + 3.0),
            Parameter("alpha", *EXPONENT_BOUNDS),
            Parameter("ln_b", drop + LOG_DROP_BOUNDS[0], drop + LOG_DROP_BOUNDS[1]),
            Parameter("c", *LOG_C_BOUNDS),
            Parameter("beta", *BETA_BOUNDS),
            Parameter("gamma", *GAMMA_BOUNDS),
            Parameter("e", lowest - FLOOR_DEPTH, lowest + 0.1),
        )

    def starts(self, x: np.ndarray, log_loss: np.ndarray) -> np.ndarray:
        """Floors below the smallest loss; falls explain a small or a middle part of the rest, felt late or soon."""
        spread, centre_loss = max(float(np.ptp(x[:, 1])), 1e-30), float(np.exp(np.median(log_loss)))
        rows = []
        for floor, share, alpha, c, beta in itertools.product(
            (0.5, 0.8, 0.95), (0.03, 0.3), (0.2, 0.5, 1.0), (-1.0, 1.0, 3.0), (0.4, 0.8)
        ):
            e = floor * float(np.exp(log_loss.min()))
            excess = max(centre_loss - e, 0.02 * centre_loss)
            rows.append([np.log((1 - share) * excess), alpha, np.log(share * excess / spread), c, beta, 0.5, np.log(e)])
        return np.asarray(rows)

    def log_loss(self, theta: Any, x: Any) -> Any:
        import jax
        import jax.numpy as jnp

        a, alpha, ln_b, c, beta, gamma, e = theta
        falls, rates, areas = _nodes(x)
        left = jnp.exp(-beta * jax.nn.softplus(c + areas - gamma * rates))  # 1 - G of each node
        unfelt = jnp.sum(falls * left, axis=0) - x[1]  # at least 0 at the fitted points
        # Beyond them, or where a rate rose, more might be felt than there is: then 1e-3 of the floor is left.
        return e + jnp.log(jnp.maximum(1.0 + jnp.exp(a - alpha * x[0] - e) + jnp.exp(ln_b - e) * unfelt, 1e-3))

    def constants(self, theta: np.ndarray, centre: np.ndarray) -> Mapping[str, np.ndarray]:
        a, alpha, ln_b, c, beta, gamma, e = np.moveaxis(np.asarray(theta), -1, 0)
        _, rates, areas = _nodes(centre)
        return {
            "L0": np.exp(e) + np.exp(ln_b) * centre[1],
            "A": np.exp(a + alpha * centre[0]),
            "B": np.exp(ln_b),
            "C": np.exp(c + gamma * rates[0] - areas[0]),
            "alpha": alpha,
            "beta": beta,
            "gamma": gamma,
        }


def _nodes(x: Any) -> tuple[Any, Any, Any]:
    """Falls, ln rates and ln areas, (NODES, points) each, of x (inputs, points)."""
    return x[2 : 2 + NODES], x[2 + NODES : 2 + 2 * NODES], x[2 + 2 * NODES :]
