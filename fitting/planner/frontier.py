"""L*(C) with its band, and the curves of equal loss around a run: what the plan's pictures are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.planner.belief import Belief
from fitting.planner.blend import TokenCost, best_run, least_loss, tokens_for

BELOW, ABOVE = 3.0, 2.0  # decades around the target
PER_DECADE = 6
ISO_BUDGETS = (0.03, 0.2, 1.0, 5.0, 30.0)  # times the compute: the losses that the best run of each reaches
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
    """The law that serves this budget, from far below it to far above; the band is as wide as each budget's own.

    (A plan for another budget is made under the law that serves that one, which lies within this band.)
    """
    budgets = flops * 10 ** np.linspace(-BELOW, ABOVE, round((BELOW + ABOVE) * PER_DECADE) + 1)
    law = belief.blend(flops)
    n_params, d_tokens = best_run(law, budgets, cost)
    bands = np.asarray([belief.loss_band(float(n), float(d)) for n, d in zip(n_params, d_tokens, strict=True)])
    losses = law.loss(n_params, d_tokens)
    best_n, best_d = (float(value) for value in best_run(law, flops, cost))
    sizes = best_n * np.geomspace(1 / ISO_REACH, ISO_REACH, ISO_SIZES)
    iso = []
    for multiple in ISO_BUDGETS:
        loss = float(least_loss(law, flops * multiple, cost))
        tokens = np.asarray(tokens_for(law, sizes, loss))
        known = np.isfinite(tokens) & (tokens < best_d * 1e3)
        if known.any():
            iso.append(IsoLoss(loss, sizes[known], tokens[known]))
    return Frontier(
        flops=budgets,
        n_params=n_params,
        d_tokens=d_tokens,
        loss=losses,
        low=losses * bands[:, 1] / bands[:, 0],
        high=losses * bands[:, 2] / bands[:, 0],
        iso=tuple(iso),
    )
