"""Has one compute budget an optimum? Its runs, the lowest point of the curve through them, or why there is none.

The weights 1/s^2 and their floor are those of Porian et al. 2024 (arXiv:2406.19146).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from fitting.isoflop_curve import Method, minima
from fitting.points import Points
from fitting.power_law import FEWEST_HELD, tails

FEWEST_POINTS = 4  # three leave no degree of freedom, and hardly a resample with a minimum
FLOOR = 0.33  # of the mean grid spacing in ln N: the least standard deviation of ln N* (Porian et al. 2024)


class SliceStatus(enum.Enum):
    """Whether a budget has an optimum; the value is what a person reads."""

    FOUND = "found"
    NOT_BRACKETED = "not bracketed"  # an optimum, but of the curve alone: the lowest run has the least or largest N
    TOO_FEW_POINTS = "too few points"
    EDGE = "minimum at the edge"
    DOWNWARD = "opens downward"
    UNSTABLE = "not reproducible"


@dataclass(frozen=True)
class Optimum:
    """The lowest point of one slice. N* and D* with the interval of the resamples."""

    n_params: float
    n_low: float
    n_high: float
    d_tokens: float  # D at N*, interpolated between the slice's runs: C/(6N*) where C = 6ND
    loss: float  # nats per token, of the curve
    log_std: float  # of ln N* over resamples, at least FLOOR grid spacings; the weight is 1/log_std^2
    log_n_draws: np.ndarray  # (resamples,) ln N*; NaN where the resample has no minimum inside its grid
    log_d_draws: np.ndarray  # (resamples,) ln D*


@dataclass(frozen=True)
class Slice:
    """The runs of one budget, best run per N, sorted by N; arrays (runs,)."""

    flops: float  # geometric mean of the runs
    flops_spread: float  # largest / smallest compute of the runs
    n_params: np.ndarray
    d_tokens: np.ndarray
    loss: np.ndarray  # nats per token
    beaten: int  # runs left out because another run of the same N has a lower loss
    status: SliceStatus
    sentence: str
    optimum: Optimum | None  # None: the sentence says why

    @property
    def half_width(self) -> float:
        """The grid reaches from its centre / half_width to its centre * half_width."""
        return float(np.sqrt(self.n_params[-1] / self.n_params[0]))

    @property
    def centre_offset(self) -> float | None:
        """Centre of the grid / N*; 1 is centred. None where there is no N*."""
        centre = float(np.sqrt(self.n_params[-1] * self.n_params[0]))
        return centre / self.optimum.n_params if self.optimum else None


def best_per_n(points: Points, rows: np.ndarray) -> np.ndarray:
    """The row of lowest loss for each N, by N (Porian et al. 2024); N that differ by less than 1e-6 are the same."""
    by_loss = rows[np.argsort(points.loss[rows], kind="stable")]
    return by_loss[np.unique(np.round(np.log(points.n_params[by_loss]), 6), return_index=True)[1]]


def fit_slice(
    points: Points,
    compute: np.ndarray,
    rows: np.ndarray,
    kept: np.ndarray,
    method: Method,
    counts: np.ndarray,
    losses: np.ndarray,
    level: float,
) -> Slice:
    n_params, d_tokens, loss = points.n_params[kept], points.d_tokens[kept], points.loss[kept]
    x = np.log(n_params)
    status, sentence, optimum = SliceStatus.FOUND, "", None
    if len(kept) < FEWEST_POINTS:
        status = SliceStatus.TOO_FEW_POINTS
        sentence = f"{len(kept)} different N; at least {FEWEST_POINTS} are needed"
    else:
        log_n, low_loss = (float(value[0]) for value in minima(method, x, np.ones((1, len(x))), loss[None]))
        lowest = int(np.argmin(loss))
        side = ("least", "smaller") if lowest < len(x) / 2 else ("largest", "larger")
        log_draws = minima(method, x, counts, losses)[0]
        held = float(np.mean(np.isfinite(log_draws)))
        if method is Method.PARABOLA and np.polynomial.Polynomial.fit(x, loss, 2).coef[2] <= 0:
            status = SliceStatus.DOWNWARD
            sentence = "the parabola opens downward: it has no minimum"
        elif np.isnan(log_n):
            status = SliceStatus.EDGE
            sentence = f"the minimum is not inside the grid {n_params[0]:.3g} .. {n_params[-1]:.3g}; add {side[1]} N"
        elif held < FEWEST_HELD:
            status = SliceStatus.UNSTABLE
            sentence = f"only {held:.0%} of the resamples have their minimum inside the grid; add runs"
        else:
            # Porian et al. 2024: lost resamples widen the deviation, and the grid bounds it from below.
            floor = FLOOR * (x[-1] - x[0]) / (len(x) - 1)
            std = max(float(np.nanstd(log_draws)), floor) / held
            low, high = np.exp(np.nanquantile(log_draws, tails(level)))
            d_best = np.exp(np.interp(log_n, x, np.log(d_tokens)))
            log_d = np.interp(log_draws, x, np.log(d_tokens))
            best_n = float(np.exp(log_n))
            optimum = Optimum(best_n, float(low), float(high), float(d_best), low_loss, std, log_draws, log_d)
            sentence = f"{held:.0%} of the resamples have their minimum inside the grid"
            if lowest in (0, len(x) - 1):
                status = SliceStatus.NOT_BRACKETED
                sentence = f"the run of the {side[0]} N is the lowest: only the curve has a minimum; add {side[1]} N"
    return Slice(
        flops=float(np.exp(np.mean(np.log(compute[kept])))),
        flops_spread=float(compute[kept].max() / compute[kept].min()),
        n_params=n_params,
        d_tokens=d_tokens,
        loss=loss,
        beaten=len(rows) - len(kept),
        status=status,
        sentence=sentence,
        optimum=optimum,
    )
