"""Approach 1: which N lies on the lower envelope of loss against compute?

At each C the run of lowest loss; then ln N = a ln C + c through the N of the envelope (Hoffmann et al. 2022,
arXiv:2203.15556, 3.1). N moves in the steps of the grid, and the constants inherit them: prefer a law or approach 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitting.budgets import TOLERANCE, budgets, cluster_counts
from fitting.errors import InputError
from fitting.fit import SEED
from fitting.isoflop import RESAMPLES
from fitting.points import Points
from fitting.power_law import PowerLaw, power_law
from fitting.predict import LEVEL

COLUMNS_PER_DECADE = 20  # a factor 1.12, so that TOLERANCE does not merge two columns


@dataclass(frozen=True)
class Curve:
    """The losses along one run; arrays (checkpoints,) with increasing compute.

    Only a constant learning rate makes a checkpoint comparable with a finished run of its length.
    """

    n_params: float
    d_tokens: np.ndarray
    flops: np.ndarray
    loss: np.ndarray  # nats per token


@dataclass(frozen=True)
class Envelope:
    """Runs that no run of less or equal compute beats; arrays (runs on the envelope,), by compute."""

    flops: np.ndarray  # geometric mean of the budget
    n_params: np.ndarray
    d_tokens: np.ndarray
    loss: np.ndarray  # nats per token
    bracketed: np.ndarray  # mask: larger and smaller N were tried and are worse; only these are fitted
    n_law: PowerLaw
    d_law: PowerLaw
    resampled: str
    sentence: str


def fit_envelope(
    points: Points,
    flops: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = SEED,
) -> Envelope:
    """Raises InputError where the envelope shows fewer than two budgets or two N that are bracketed.

    `flops` (points,) is compared; None is the points' own column. Rows or clusters are drawn with replacement.
    """
    compute = points.flops if flops is None else flops
    groups = budgets(compute, tolerance, points.source)
    log_c = np.array([np.mean(np.log(compute[rows])) for rows in groups])
    order = np.concatenate(groups)
    column = np.repeat(np.arange(len(groups)), [len(rows) for rows in groups])
    n_params, loss = points.n_params[order], points.loss[order]

    front, bracketed = _front(column, n_params, loss, np.ones(len(order), bool))
    fitted = order[front[bracketed]]
    if len(fitted) < 2 or len(np.unique(points.n_params[fitted])) < 2:
        raise InputError(
            f"{points.source}: {len(fitted)} of {len(front)} runs on the envelope, with "
            f"{len(np.unique(points.n_params[fitted]))} different N, beat both a larger and a smaller N; a power law "
            f"needs two. Add runs of equal compute with other N, or fit a law instead"
        )
    present = cluster_counts(points.cluster, resamples, np.random.RandomState(seed)) > 0
    log_n = _by_column(log_c, column, front[bracketed], np.log(n_params))
    log_d = _by_column(log_c, column, front[bracketed], np.log(points.d_tokens[order]))
    n_draws, d_draws = np.empty((resamples, len(log_c))), np.empty((resamples, len(log_c)))
    for i in range(resamples):
        drawn, inside = _front(column, n_params, loss, present[i, order])
        n_draws[i] = _by_column(log_c, column, drawn[inside], np.log(n_params))
        d_draws[i] = _by_column(log_c, column, drawn[inside], np.log(points.d_tokens[order]))
    weights = np.ones(len(log_c))
    clusters = len(set(points.cluster))
    return Envelope(
        flops=np.exp(log_c[column[front]]),
        n_params=n_params[front],
        d_tokens=points.d_tokens[order][front],
        loss=loss[front],
        bracketed=bracketed,
        n_law=power_law(log_c, log_n, weights, n_draws, level),
        d_law=power_law(log_c, log_d, weights, d_draws, level),
        resampled="rows" if clusters == len(points) else f"{clusters} clusters",
        sentence=f"{len(fitted)} of {len(front)} runs on the envelope beat both a larger and a smaller N "
        f"({len(np.unique(points.n_params[fitted]))} different N)",
    )


def points_on_curves(curves: Sequence[Curve], source: str, n_definition: str, flops_definition: str) -> Points:
    """The curves at common budgets, ln L and ln D interpolated in ln C; a run is one cluster."""
    if not curves:
        raise InputError(f"{source}: no curves; the envelope needs the losses along at least two runs")
    first = np.log10(min(curve.flops[0] for curve in curves))
    last = np.log10(max(curve.flops[-1] for curve in curves))
    budget = 10 ** np.arange(first, last + 1e-9, 1 / COLUMNS_PER_DECADE)
    rows = []
    for label, curve in enumerate(curves):
        if np.any(np.diff(curve.flops) <= 0):
            raise InputError(f"{source}: the compute of curve {label} does not increase; sort its checkpoints")
        inside = budget[(budget >= curve.flops[0] * (1 - 1e-9)) & (budget <= curve.flops[-1] * (1 + 1e-9))]
        log_c = np.log(curve.flops)
        loss = np.exp(np.interp(np.log(inside), log_c, np.log(curve.loss)))
        d_tokens = np.exp(np.interp(np.log(inside), log_c, np.log(curve.d_tokens)))
        n_params = np.full(len(inside), curve.n_params)
        rows.append(np.stack([n_params, d_tokens, loss, inside, np.full(len(inside), label)]))
    n_params, d_tokens, loss, flops, member = np.concatenate(rows, axis=1)
    return Points(
        n_params=n_params,
        d_tokens=d_tokens,
        loss=loss,
        flops=flops,
        cluster=tuple(f"curve {int(label)}" for label in member),
        source=source,
        n_definition=n_definition,
        flops_definition=flops_definition,
    )


def _front(
    column: np.ndarray, n_params: np.ndarray, loss: np.ndarray, present: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows on the envelope, and which of them are bracketed. Rows are sorted by column, the index of the budget.

    A run q of no less compute and no lower loss than p shows that N_q is no better than N_p at p's compute, because
    the loss of one N falls with compute. So p is bracketed by such runs of larger and of smaller N.
    """
    order = np.lexsort((loss, column))
    order = order[present[order]]
    best = order[np.unique(column[order], return_index=True)[1]]  # the lowest run of each column
    before = np.concatenate([[np.inf], np.minimum.accumulate(loss[best])[:-1]])
    front = best[loss[best] < before]
    worse = (column >= column[front, None]) & (loss >= loss[front, None]) & present
    larger = np.any(worse & (n_params > n_params[front, None]), axis=1)
    smaller = np.any(worse & (n_params < n_params[front, None]), axis=1)
    return front, larger & smaller


def _by_column(log_c: np.ndarray, column: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The rows' values at their columns, NaN elsewhere, (columns,)."""
    placed = np.full(len(log_c), np.nan)
    placed[column[rows]] = values[rows]
    return placed
