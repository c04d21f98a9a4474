"""Do the pilots pay? What not knowing N* costs at the target, before and after them, against what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitting.planner.belief import DRAWS, SEED
from fitting.planner.surface import Surface
from fitting.posterior import Mode

FEWEST_FINITE = 0.5  # share of the draws that must have an optimum, for their mean to be a price


@dataclass(frozen=True)
class Verdict:
    """All in FLOPs; a price is None where too few drawn laws have an optimum for it to be one."""

    price_before: float | None  # expected deadweight compute at the target, buying the average's N*, D* today
    price_after: float | None  # the same with what the pilots are expected to teach
    cost: float  # of the pilots

    @property
    def saving(self) -> float | None:
        if self.price_before is None or self.price_after is None:
            return None
        return self.price_before - self.price_after

    @property
    def stop(self) -> bool:
        """Where no price can be told the laws are too uncertain to stop."""
        return self.saving is not None and self.saving < self.cost

    @property
    def sentence(self) -> str:
        if self.saving is None:
            return (
                "go on: the runs so far leave the optimum at the target open altogether (most drawn laws have none), "
                f"so no saving can be told; the pilots cost {self.cost:.2g} FLOPs"
            )
        figures = (
            f"the pilots cost {self.cost:.2g} FLOPs and are expected to save {self.saving:.2g} at the target "
            f"(not knowing N* wastes {self.price_before:.2g} there now, {self.price_after:.2g} after them)"
        )
        if self.stop:
            return f"stop: {figures}; buy the target, unless its interval itself is worth more to you"
        return f"go on: {figures}"


def deadweight(
    modes: Sequence[Mode],
    covariances: Sequence[np.ndarray],
    weights: np.ndarray,
    bounds: Sequence[np.ndarray],
    n_params: float,
    d_tokens: float,
    target_flops: float,
) -> float | None:
    """E[C (1 - C_eff / C)] in FLOPs, C_eff the least compute that reaches the loss of (N, D) under a drawn law.

    The same normal numbers serve every call, so that a difference of two prices is not one of two samples.
    """
    rng = np.random.RandomState(SEED)
    price, counted = 0.0, 0.0
    for mode, covariance, weight, (lower, upper) in zip(modes, covariances, weights, bounds, strict=True):
        values, vectors = np.linalg.eigh(covariance)
        root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        theta = np.clip(mode.theta + rng.standard_normal((DRAWS, len(mode.theta))) @ root, lower, upper)
        surface = Surface.of(mode.law.constants(theta, mode.centre))
        assert surface is not None  # all laws of the average are two-term laws
        with np.errstate(all="ignore"):  # a draw with a vanishing exponent has no optimum, and no price
            enough = surface.flops_for(surface.loss(n_params, d_tokens))
        wasted = np.clip(target_flops - enough, 0.0, target_flops)
        finite = np.isfinite(wasted)
        if finite.mean() >= FEWEST_FINITE:
            price, counted = price + float(weight * wasted[finite].mean()), counted + float(weight)
    return price / counted if counted > 0 else None
