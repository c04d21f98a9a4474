"""How good are the forecasts, and how honest are the intervals? Past sweeps replayed: fit below, predict above.

A cell is a pool of runs and a span. Its targets are the runs with C >= C_max / 1.5, its training runs those with
C <= median target C / span; at least 12 of them, with three sizes and three horizons. Nothing of the targets is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fitting.points import Points

SPANS = (3.0, 10.0, 30.0, 100.0)
TARGET_SHARE = 1.5  # targets cost at least C_max / 1.5
FEWEST_TRAINING = 12
FEWEST_VALUES = 3  # of N and of D among the training runs


@dataclass(frozen=True)
class Bands:
    """A forecast of the targets' loss with two central intervals; arrays over targets."""

    loss: np.ndarray
    low50: np.ndarray
    high50: np.ndarray
    low90: np.ndarray
    high90: np.ndarray


Forecaster = Callable[[Points, Points], Bands]  # (training, targets): only N, D and C of the targets may be read


@dataclass(frozen=True)
class Cell:
    """One replay of one forecaster."""

    pool: str
    span: float
    forecaster: str
    training: int
    targets: int
    errors: np.ndarray  # (targets,) forecast / truth - 1
    inside50: np.ndarray  # (targets,) bool
    inside90: np.ndarray
    half_width90: np.ndarray  # (targets,) relative
    interval_score90: np.ndarray  # (targets,) relative to the truth

    @property
    def error(self) -> float:
        """Median |relative error| over the targets."""
        return float(np.median(np.abs(self.errors)))


@dataclass(frozen=True)
class Score:
    """One forecaster over the cells of one span (0: all spans). Every pool counts alike, whatever its targets."""

    forecaster: str
    span: float
    cells: int
    median_error: float
    p90_error: float
    worst_error: float
    coverage50: float
    coverage90: float
    half_width90: float
    interval_score90: float


def split(points: Points, span: float) -> tuple[Points, Points] | None:
    """(training, targets) of one cell; None where too few training runs are left."""
    target = points.flops >= points.flops.max() / TARGET_SHARE
    # The tolerance keeps a budget that lies exactly at the limit.
    training = points.flops <= np.median(points.flops[target]) / span * (1 + 1e-9)
    values = min(len(np.unique(points.n_params[training])), len(np.unique(points.d_tokens[training])))
    if training.sum() < FEWEST_TRAINING or values < FEWEST_VALUES:
        return None
    return points.take(training), points.take(target)


def replay(
    pools: dict[str, Points],
    forecasters: dict[str, Forecaster],
    spans: Sequence[float] = SPANS,
    report: Callable[[str], None] = lambda words: None,
) -> list[Cell]:
    """Every forecaster on every cell."""
    cells = []
    for pool, points in pools.items():
        for span in spans:
            parts = split(points, span)
            if parts is None:
                continue
            for name, forecaster in forecasters.items():
                report(f"{pool} at {span:g}x: {name}")
                cells.append(_cell(pool, span, name, parts[0], parts[1], forecaster))
    return cells


def score(cells: Sequence[Cell], forecaster: str, span: float = 0.0) -> Score | None:
    """None where no cell fits."""
    chosen = [cell for cell in cells if cell.forecaster == forecaster and span in (0.0, cell.span)]
    if not chosen:
        return None
    errors = np.asarray([cell.error for cell in chosen])

    def mean(name: str) -> float:
        return float(np.mean([np.mean(getattr(cell, name)) for cell in chosen]))

    return Score(
        forecaster=forecaster,
        span=span,
        cells=len(chosen),
        median_error=float(np.median(errors)),
        p90_error=float(np.quantile(errors, 0.9)),
        worst_error=float(errors.max()),
        coverage50=mean("inside50"),
        coverage90=mean("inside90"),
        half_width90=float(np.median([np.median(cell.half_width90) for cell in chosen])),
        interval_score90=mean("interval_score90"),
    )


def interval_score(low90: np.ndarray, high90: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(width + 2/alpha x what the truth lies outside) / truth of 90% intervals, alpha = 0.1; lower is better.

    Gneiting and Raftery 2007, eq. 43 (doi:10.1198/016214506000001437).
    """
    outside = np.maximum(low90 - truth, 0.0) + np.maximum(truth - high90, 0.0)
    return (high90 - low90 + 2 / 0.1 * outside) / truth


def _cell(pool: str, span: float, name: str, training: Points, targets: Points, forecaster: Forecaster) -> Cell:
    bands = forecaster(training, targets)
    truth = targets.loss
    width = bands.high90 - bands.low90
    return Cell(
        pool=pool,
        span=span,
        forecaster=name,
        training=len(training),
        targets=len(targets),
        errors=bands.loss / truth - 1,
        inside50=(bands.low50 <= truth) & (truth <= bands.high50),
        inside90=(bands.low90 <= truth) & (truth <= bands.high90),
        half_width90=width / 2 / truth,
        interval_score90=interval_score(bands.low90, bands.high90, truth),
    )
