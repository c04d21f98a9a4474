"""Approach 2: which N is best at each compute budget, by the lowest point of each IsoFLOP slice?

L(ln N) at constant C has its minimum at N*(C); then ln N* = a ln C + c (Hoffmann et al. 2022, arXiv:2203.15556, 3.2).
Their parabola is biased unless alpha = beta: fitting/isoflop_bias.py says by how much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.budgets import TOLERANCE, budgets, cluster_counts
from fitting.errors import InputError
from fitting.fit import SEED
from fitting.isoflop_curve import Method
from fitting.isoflop_slice import Optimum, Slice, best_per_n, fit_slice
from fitting.points import Points
from fitting.power_law import PowerLaw, power_law
from fitting.predict import LEVEL

RESAMPLES = 1000  # Porian et al. 2024 (arXiv:2406.19146)


@dataclass(frozen=True)
class IsoflopFit:
    """N*(C) and D*(C) from the lowest points of the slices."""

    method: Method
    slices: tuple[Slice, ...]  # all budgets, refused ones too, by compute
    n_law: PowerLaw  # N* in C: exponent a
    d_law: PowerLaw  # D* in C: exponent b
    resampled: str
    sentence: str

    @property
    def used(self) -> tuple[tuple[Slice, Optimum], ...]:
        return tuple((one, one.optimum) for one in self.slices if one.optimum is not None)


def fit_isoflop(
    points: Points,
    method: Method = Method.PARABOLA,
    flops: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    noise: float | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = SEED,
) -> IsoflopFit:
    """Raises InputError where fewer than two budgets have an optimum.

    `flops` (points,) makes the budgets; None is the points' own column, `points.flops_6nd` the alternative. `noise` is
    the standard deviation of one loss between seeds, in nats per token: resamples then redraw the losses. None
    resamples the points within each budget, or whole clusters where rows share one.
    """
    compute = points.flops if flops is None else flops
    rng = np.random.RandomState(seed)
    shared = len(set(points.cluster)) < len(points)
    row_counts = cluster_counts(points.cluster, resamples, rng) if shared and noise is None else None
    slices = []
    for rows in budgets(compute, tolerance, points.source):
        kept = best_per_n(points, rows)
        losses = np.tile(points.loss[kept], (resamples, 1))
        counts = np.ones(losses.shape)
        if noise is not None:
            losses = losses + noise * rng.standard_normal(losses.shape)
        elif row_counts is not None:
            counts = row_counts[:, kept]
        else:
            counts = rng.multinomial(len(kept), np.full(len(kept), 1 / len(kept)), resamples).astype(float)
        slices.append(fit_slice(points, compute, rows, kept, method, counts, losses, level))
    used = [(one, one.optimum) for one in slices if one.optimum is not None]
    if len(used) < 2:
        reasons = "; ".join(f"C = {one.flops:.3g}: {one.sentence}" for one in slices[:3] if one.optimum is None)
        raise InputError(
            f"{points.source}: {len(used)} of {len(slices)} compute budgets have an optimum, and a power law needs two "
            f"({reasons}). Add runs of equal compute on both sides of the minimum, or fit a law instead"
        )
    log_c = np.log([one.flops for one, _ in used])
    weights = np.array([best.log_std**-2 for _, best in used])
    return IsoflopFit(
        method=method,
        slices=tuple(slices),
        n_law=power_law(
            log_c,
            np.log([best.n_params for _, best in used]),
            weights,
            np.stack([best.log_n_draws for _, best in used], axis=1),
            level,
        ),
        d_law=power_law(
            log_c,
            np.log([best.d_tokens for _, best in used]),
            weights,
            np.stack([best.log_d_draws for _, best in used], axis=1),
            level,
        ),
        resampled=_resampled(points, shared, noise),
        sentence=f"{len(used)} of {len(slices)} budgets used, {np.ptp(log_c) / np.log(10):.2g} decades of compute"
        + ("; two budgets leave the line no check" if len(used) == 2 else ""),
    )


def _resampled(points: Points, shared: bool, noise: float | None) -> str:
    if noise is not None:
        return f"losses with noise of {noise:g} nats per token"
    return f"{len(set(points.cluster))} clusters" if shared else "points within each budget"
