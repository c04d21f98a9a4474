"""Which runs move the law most? The optimum without each run, and without the k whose influences add up to the most.

A run is left out by a weight of zero, and the search goes on from the optimum of all: the same refit as without it, in
a hundredth of the time. Where runs times points are more than MOST, they are ranked by one Newton step first,
theta + H^-1 g_i with the run's gradient g_i. The k are those of largest influence of one sign (Broderick, Giordano and
Meager 2020, arXiv:2011.14999): sums of influences choose them, a refit without all of them says what they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fitting.bootstrap import gradients, newton_step
from fitting.fit import Fit
from fitting.planner.surface import Surface
from fitting.predict import LEVEL
from fitting.solve import solve

SHARE = 0.02  # of the runs is k, as 5 of 245 points turned Chinchilla's exponents (Besiroglu et al. 2024)
NORMAL = 1.645  # standard errors from the middle of a 90% interval to its ends
MOST = 2_000_000  # runs times points that are refitted one by one


@dataclass(frozen=True)
class Influence:
    """What one quantity of the law is without some runs."""

    quantity: str
    value: float  # with all
    low: float  # LEVEL interval of the bootstrap
    high: float
    without: float
    rows: tuple[int, ...]  # left out
    runs: int  # they are of

    @property
    def decides(self) -> bool:
        """Whether these runs move it by more than a standard error, as a 90% interval tells that."""
        return abs(self.without - self.value) > (self.high - self.low) / 2 / NORMAL


def influences(fit: Fit, flops: float, share: float = SHARE) -> tuple[Influence, ...]:
    """For each quantity of the law, the most that one run moves it, and that `share` of the runs move it together."""
    labels, member = np.unique(np.asarray(fit.points.cluster), return_inverse=True)
    count = max(int(np.ceil(share * len(labels))), 2)
    if len(labels) <= count + len(fit.theta):
        return ()
    best = quantities(fit, fit.theta[None], flops)
    drawn = quantities(fit, fit.draws, flops)
    moved = {name: values - best[name] for name, values in quantities(fit, _without_each(fit, member), flops).items()}
    found = []
    for name, shifts in moved.items():
        low, high = np.nanquantile(drawn[name], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        order = np.argsort(np.where(np.isfinite(shifts), shifts, 0.0))
        for size in (1, count):
            up, down = (np.isin(member, order[end]) for end in (slice(-size, None), slice(size)))
            refitted = quantities(fit, _without(fit, [up, down]), flops)[name]
            rows, without = max(zip((up, down), refitted, strict=True), key=lambda one: abs(one[1] - best[name][0]))
            found.append(
                Influence(
                    quantity=name,
                    value=float(best[name][0]),
                    low=float(low),
                    high=float(high),
                    without=float(without),
                    rows=tuple(int(row) for row in np.flatnonzero(rows)),
                    runs=size,
                )
            )
    return tuple(found)


def quantities(fit: Fit, theta: np.ndarray, flops: float) -> Mapping[str, np.ndarray]:
    """L* at that compute and the exponent of N*, where the law has them, else its constants; (members,) each."""
    constants = fit.law.constants(theta, fit.centre)
    surface = Surface.of(constants) if fit.law.surface else None
    if surface is None:
        return constants
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exponent = np.divide(surface.beta, np.add(surface.alpha, surface.beta))
        return {f"L*({flops:.3g} FLOPs)": surface.least_loss(flops), "a of N* ~ C^a": exponent}


def _without_each(fit: Fit, member: np.ndarray) -> np.ndarray:
    """theta without each run, (runs, parameters): refits, or one Newton step each where they are many."""
    runs = int(member.max()) + 1
    if runs * len(fit.points) <= MOST:
        return _without(fit, [member == run for run in range(runs)])
    x, log_loss = fit.inputs(fit.points.columns()), np.log(fit.points.loss)
    optimum = solve(fit.law, x, log_loss, fit.theta[None], delta=fit.delta)
    slopes = gradients(fit.law, x, log_loss, optimum, fit.delta)
    pulls = np.zeros((runs, slopes.shape[1]))
    np.add.at(pulls, member, slopes)
    return newton_step(optimum, -pulls)


def _without(fit: Fit, masks: list[np.ndarray]) -> np.ndarray:
    """theta without the rows of each mask, (masks, parameters)."""
    x, log_loss = fit.inputs(fit.points.columns()), np.log(fit.points.loss)
    weights = 1.0 - np.stack(masks)
    return solve(fit.law, x, log_loss, np.tile(fit.theta, (len(masks), 1)), weights, fit.delta).theta
