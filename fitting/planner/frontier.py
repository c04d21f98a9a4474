"""L*(C) with its band, and the curves of equal loss around a run: what the plan's pictures are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.planner.belief import Belief
from fitting.planner.blend import TokenCost, best_run, tokens_for

BELOW, ABOVE = 3.0, 2.0  # decades around the target
PER_DECADE = 6
ISO_LOSSES = (1.06, 1.03, 1.0, 0.98, 0.96)  # of the excess over nothing: multiples of the target's loss
ISO_SIZES = 61
ISO_REACH = 30.0  # times N* to either side


@dataclass(frozen=True)
class IsoLoss:
    """N and D of one loss."""

    loss: float
    n_params: np.ndarray
    d_tokens: np.ndarray


@dataclass(frozen=True)
class Frontier:
    """Arrays over budgets; losses in nats per token."""

    flops: np.ndarray
    n_params: np.ndarray
    d_tokens: np.ndarray
    loss: np.ndarray
    low: np.ndarray
    high: np.ndarray
    iso: tuple[IsoLoss, ...]


def frontier(belief: Belief, flops: float, cost: TokenCost) -> Frontier:
    """Each budget under the law that serves it, as a plan for it would say."""
    budgets = flops * 10 ** np.linspace(-BELOW, ABOVE, round((BELOW + ABOVE) * PER_DECADE) + 1)
    runs = [best_run(belief.blend(float(budget)), float(budget), cost) for budget in budgets]
    bands = [belief.loss_band(float(n), float(d)) for n, d in runs]
    law = belief.blend(flops)
    best_n, best_d = (float(value) for value in best_run(law, flops, cost))
    loss = float(law.loss(best_n, best_d))
    sizes = best_n * np.geomspace(1 / ISO_REACH, ISO_REACH, ISO_SIZES)
    iso = []
    for multiple in ISO_LOSSES:
        tokens = np.asarray(tokens_for(law, sizes, loss * multiple))
        known = np.isfinite(tokens) & (tokens < best_d * 1e3)
        if known.any():
            iso.append(IsoLoss(loss * multiple, sizes[known], tokens[known]))
    return Frontier(
        flops=budgets,
        n_params=np.asarray([float(n) for n, _ in runs]),
        d_tokens=np.asarray([float(d) for _, d in runs]),
        loss=np.asarray([band[0] for band in bands]),
        low=np.asarray([band[1] for band in bands]),
        high=np.asarray([band[2] for band in bands]),
        iso=tuple(iso),
    )
