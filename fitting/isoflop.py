"""Approach 2: which N is best at each compute budget, by the lowest point of each IsoFLOP slice?

L(ln N) at constant C has its minimum at N*(C); then ln N* = a ln C + c (Hoffmann et al. 2022, arXiv:2203.15556, 3.2).
The parabola is theirs; it is biased unless alpha = beta (fitting/isoflop_bias.py says by how much). The Akima spline,
the weights 1/s^2 and their floor are those of Porian et al. 2024 (arXiv:2406.19146).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import Akima1DInterpolator

from fitting.allocate import Range
from fitting.errors import InputError
from fitting.fit import SEED
from fitting.points import LARGEST_FLOPS, Points, check_column
from fitting.predict import LEVEL

TOLERANCE = 0.1  # relative; runs of one budget differ at most so much in compute (Porian et al. 2024)
RESAMPLES = 1000  # Porian et al. 2024
FEWEST_POINTS = 4  # three leave no degree of freedom, and hardly a resample with a minimum
FLOOR = 0.33  # of the mean grid spacing in ln N: the least standard deviation of ln N* (Porian et al. 2024)
FEWEST_HELD = 0.5  # share of resamples that must keep a minimum inside the grid (Porian et al. 2024)


class Method(enum.Enum):
    """The curve through one slice."""

    PARABOLA = "parabola"  # least squares, L against ln N (Hoffmann et al. 2022)
    AKIMA = "akima"  # interpolation, ln L against ln N (Porian et al. 2024)


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


@dataclass(frozen=True)
class PowerLaw:
    """ln y = exponent ln C + log_coefficient."""

    exponent: float
    low: float
    high: float
    log_coefficient: float
    level: float
    draws: np.ndarray  # (resamples, 2) exponent and log_coefficient

    def at(self, flops: float | np.ndarray) -> Range:
        """y with its interval for each budget."""
        log_c = np.log(np.atleast_1d(np.asarray(flops, float)))
        drawn = self.draws[:, :1] * log_c + self.draws[:, 1:]
        low, high = np.exp(np.nanquantile(drawn, _tails(self.level), axis=0))
        return Range(np.exp(self.exponent * log_c + self.log_coefficient), low, high)


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
        kept = _best_per_n(points, rows)
        losses = np.tile(points.loss[kept], (resamples, 1))
        counts = np.ones(losses.shape)
        if noise is not None:
            losses = losses + noise * rng.standard_normal(losses.shape)
        elif row_counts is not None:
            counts = row_counts[:, kept]
        else:
            counts = rng.multinomial(len(kept), np.full(len(kept), 1 / len(kept)), resamples).astype(float)
        slices.append(_slice(points, compute, rows, kept, method, counts, losses, level))
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


def budgets(flops: np.ndarray, tolerance: float, source: str) -> list[np.ndarray]:
    """Rows of each budget: sorted by compute, a new budget starts where C exceeds its smallest C by `tolerance`."""
    check_column("flops", flops, LARGEST_FLOPS, source)
    order = np.argsort(flops, kind="stable")
    groups: list[list[int]] = []
    for row in order:
        if groups and flops[row] <= flops[groups[-1][0]] * (1 + tolerance):
            groups[-1].append(int(row))
        else:
            groups.append([int(row)])
    return [np.array(group) for group in groups]


def cluster_counts(cluster: tuple[str, ...], resamples: int, rng: np.random.RandomState) -> np.ndarray:
    """How often each row occurs where whole clusters are drawn with replacement, (resamples, rows)."""
    labels, member = np.unique(np.asarray(cluster), return_inverse=True)
    drawn = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), resamples)
    return drawn.astype(float)[:, member]


def _best_per_n(points: Points, rows: np.ndarray) -> np.ndarray:
    """The row of lowest loss for each N, by N (Porian et al. 2024); N that differ by less than 1e-6 are the same."""
    by_loss = rows[np.argsort(points.loss[rows], kind="stable")]
    return by_loss[np.unique(np.round(np.log(points.n_params[by_loss]), 6), return_index=True)[1]]


def _slice(
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
            low, high = np.exp(np.nanquantile(log_draws, _tails(level)))
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


def minima(method: Method, x: np.ndarray, counts: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln N* and L* of each draw, NaN where the curve has no minimum strictly inside the drawn grid.

    x (points,) = ln N, increasing; counts (draws, points) = how often a draw holds each point; losses (draws, points).
    """
    enough = np.count_nonzero(counts, axis=1) >= 3
    log_n, loss = np.full(len(counts), np.nan), np.full(len(counts), np.nan)
    if not enough.any():
        return log_n, loss
    log_n[enough], loss[enough] = _CURVES[method](x, counts[enough], losses[enough])
    drawn = np.where(counts > 0, x, np.nan)
    outside = np.ones(len(counts), bool)
    outside[enough] = ~(
        (log_n[enough] > np.nanmin(drawn[enough], axis=1)) & (log_n[enough] < np.nanmax(drawn[enough], axis=1))
    )
    log_n[outside], loss[outside] = np.nan, np.nan
    return log_n, loss


def _parabola(x: np.ndarray, counts: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertex of the least-squares parabola of each draw; NaN where it opens downward."""
    middle, scale = (x[0] + x[-1]) / 2, (x[-1] - x[0]) / 2
    powers = np.vander((x - middle) / scale, 3)
    level = losses.mean(axis=1, keepdims=True)
    gram = np.einsum("rn,ni,nj->rij", counts, powers, powers)
    moments = np.einsum("rn,rn,ni->ri", counts, losses - level, powers)
    curve, slope, constant = np.linalg.solve(gram, moments[..., None])[..., 0].T
    vertex = np.full(len(curve), np.nan)
    np.divide(-slope, 2 * curve, out=vertex, where=curve > 0)
    return middle + scale * vertex, level[:, 0] + constant + slope * vertex / 2


def _akima(x: np.ndarray, counts: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest point of the Akima spline of ln L in each draw: knots, and the minimum of each cubic piece."""
    log_n, lowest = np.empty(len(counts)), np.empty(len(counts))
    patterns, member = np.unique(counts > 0, axis=0, return_inverse=True)
    for index, pattern in enumerate(patterns):
        rows = member == index
        knots, values = x[pattern], np.log(losses[rows][:, pattern]).T  # values (knots, draws)
        cubic, square, linear, constant = Akima1DInterpolator(knots, values).c  # each (pieces, draws)
        width = np.diff(knots)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            # The root of the derivative with a positive second derivative, in the form that survives cubic = 0.
            step = -linear / (square + np.sqrt(square**2 - 3 * cubic * linear))
        step = np.where((step > 0) & (step < width), step, 0.0)
        inner = constant + step * (linear + step * (square + step * cubic))
        place = np.concatenate([knots[:-1, None] + step, np.broadcast_to(knots[-1:, None], values[-1:].shape)])
        height = np.concatenate([inner, values[-1:]])
        best = np.argmin(height, axis=0)[None]
        log_n[rows] = np.take_along_axis(place, best, axis=0)[0]
        lowest[rows] = np.exp(np.take_along_axis(height, best, axis=0)[0])
    return log_n, lowest


_CURVES = {Method.PARABOLA: _parabola, Method.AKIMA: _akima}


def power_law(
    log_c: np.ndarray, log_y: np.ndarray, weights: np.ndarray, log_y_draws: np.ndarray, level: float
) -> PowerLaw:
    """Weighted least squares of ln y on ln C; log_y_draws (resamples, budgets), NaN where a draw lacks the budget.

    Raises InputError where most draws lack a line: then nothing is known about its exponent.
    """
    exponent, constant = _lines(log_c, log_y[None], weights)[0]
    draws = _lines(log_c, log_y_draws, weights)
    held = float(np.mean(np.isfinite(draws[:, 0])))
    if held < FEWEST_HELD:
        raise InputError(
            f"only {held:.0%} of the resamples have an optimum at two budgets, at least {FEWEST_HELD:.0%} are needed; "
            f"add runs of equal compute on both sides of the minimum"
        )
    low, high = np.nanquantile(draws[:, 0], _tails(level))
    return PowerLaw(float(exponent), float(low), float(high), float(constant), level, draws)


def _lines(log_c: np.ndarray, log_y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Slope and intercept for each row, (rows, 2); NaN where a row has fewer than two values."""
    there = np.isfinite(log_y)
    share = np.where(there, weights, 0.0)
    y = np.where(there, log_y, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = share / share.sum(axis=1, keepdims=True)
        mean_c, mean_y = share @ log_c, np.sum(share * y, axis=1)
        centred = log_c - mean_c[:, None]
        slope = np.sum(share * centred * y, axis=1) / np.sum(share * centred**2, axis=1)
    slope[np.count_nonzero(there, axis=1) < 2] = np.nan
    return np.stack([slope, mean_y - slope * mean_c], axis=1)


def _tails(level: float) -> list[float]:
    return [(1 - level) / 2, (1 + level) / 2]


def _resampled(points: Points, shared: bool, noise: float | None) -> str:
    if noise is not None:
        return f"losses with noise of {noise:g} nats per token"
    return f"{len(set(points.cluster))} clusters" if shared else "points within each budget"
