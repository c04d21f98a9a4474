"""How many times the compute of sweep A does sweep B need for the same loss? From two fitted laws, and law-free.

    m(C) = C_b(L_a(C)) / C,  L_a(C) the least loss of A's law at C = 6ND, C_b its inverse under B's law

(an "effective compute" or compute-equivalent gain: Davidson et al. 2023, arXiv:2312.07413; Ho et al. 2024,
arXiv:2403.05812). m > 1: A is better. Both losses must be of one unit and one held-out set: the caller's business.

The interval is that of the laws: bootstrap draws of A and of B, paired at random since the sweeps are independent. Two
assumptions, not measured: the noise of one further run has no part in it, because m compares expected losses, and what
the form of the law misses at home is common to both sweeps and cancels. Beyond the largest compute of a sweep it need
not: there each law has an error of its own, DISCREPANCY_PER_DECADE as in fitting/predict.py. Where B's law cannot reach
A's loss at all, because its floor lies above, m is infinite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.errors import InputError
from fitting.fit import SEED, Fit
from fitting.planner.surface import Surface
from fitting.points import Points
from fitting.predict import DISCREPANCY_PER_DECADE, LEVEL

BUDGETS = 41
BEYOND = 10.0  # times the largest compute that both sweeps have; what lies there is an extrapolation
SAME_RUN = 0.02  # relative difference of N and of D up to which two runs are a pair
SAME_CELL = 1e-6  # of ln N and ln D; runs of one cell are averaged


@dataclass(frozen=True)
class Paired:
    """Runs of both sweeps with the same N and D, replicates averaged; arrays (pairs,)."""

    n_params: np.ndarray
    d_tokens: np.ndarray
    difference: np.ndarray  # L_b - L_a, in the unit of the losses
    mean: float
    standard_error: float | None  # None: a single pair


@dataclass(frozen=True)
class Multiplier:
    """m(C) with its interval; arrays over budgets."""

    flops: np.ndarray  # 6ND, of A
    value: np.ndarray  # infinite where not reachable
    low: np.ndarray
    high: np.ndarray  # infinite: in more than a tail of the draws no compute is enough
    level: float
    extrapolated: np.ndarray  # bool: C is beyond A's runs, or C_b beyond B's
    reachable: np.ndarray  # bool: B's law gets below A's loss at all
    paired: Paired | None  # None: no two runs of the same N and D
    sentence: str


def compare(a: Fit, b: Fit, flops: np.ndarray | None = None, level: float = LEVEL, seed: int = SEED) -> Multiplier:
    """The compute that B needs over that of A, at A's budgets (6ND FLOPs); None: where both have runs, and BEYOND.

    Raises InputError where a law has no closed-form optimum, or no budget is given and the sweeps share none.
    """
    budgets = _shared_budgets(a.points, b.points) if flops is None else np.atleast_1d(np.asarray(flops, float))
    if not (np.isfinite(budgets) & (budgets > 0)).all():
        raise InputError(f"a budget is {budgets.min():g} FLOPs; allowed are finite numbers above 0. Give them as 1e21")
    with np.errstate(all="ignore"):  # a draw whose exponent is zero has no optimum: not finite, see below
        wanted = _surface(a).least_loss(budgets)
        value = _surface(b).flops_for(wanted) / budgets
        low, high = _band(a, b, budgets, value, level, seed)
    reachable = np.isfinite(value)
    value = np.where(reachable, value, np.inf)
    needed = np.where(reachable, value * budgets, np.inf)
    paired = pair_runs(a.points, b.points)
    extrapolated = _outside(a.points, budgets) | _outside(b.points, needed)
    return Multiplier(
        flops=budgets,
        value=value,
        low=np.minimum(low, value),
        high=np.maximum(high, value),
        level=level,
        extrapolated=extrapolated,
        reachable=reachable,
        paired=paired,
        sentence=_in_words(budgets, value, low, high, extrapolated, level, paired),
    )


def pair_runs(a: Points, b: Points) -> Paired | None:
    """Cells of A and B that are each other's nearest, and within SAME_RUN in N and in D."""
    from scipy.spatial import KDTree

    (at_a, loss_a), (at_b, loss_b) = _cells(a), _cells(b)
    distance, partner = KDTree(at_b).query(at_a, p=np.inf)
    _, back = KDTree(at_a).query(at_b, p=np.inf)
    first = np.flatnonzero((distance <= np.log1p(SAME_RUN)) & (back[partner] == np.arange(len(at_a))))
    if not first.size:
        return None
    difference = loss_b[partner[first]] - loss_a[first]
    error = float(np.std(difference, ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else None
    n_params, d_tokens = np.exp(at_a[first]).T
    return Paired(n_params, d_tokens, difference, float(difference.mean()), error)


def _shared_budgets(a: Points, b: Points) -> np.ndarray:
    low = max(a.flops_6nd.min(), b.flops_6nd.min())
    high = min(a.flops_6nd.max(), b.flops_6nd.max())
    if low > high:
        raise InputError(
            f"the sweeps share no compute: {a.source} has {a.flops_6nd.min():.3g} .. {a.flops_6nd.max():.3g}, "
            f"{b.source} {b.flops_6nd.min():.3g} .. {b.flops_6nd.max():.3g} FLOPs. Say at which budgets to compare"
        )
    return np.geomspace(low, BEYOND * high, BUDGETS)


def _surface(fit: Fit) -> Surface:
    surface = Surface.of(fit.constants) if fit.law.surface else None
    if surface is None:
        raise InputError(
            f"the {fit.law.name} law has no optimum in closed form, so no compute for a loss; fit chinchilla or gamma"
        )
    return surface


def _band(
    a: Fit, b: Fit, budgets: np.ndarray, value: np.ndarray, level: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of m over draws of both laws; a draw in which no compute is enough counts as infinite."""
    rng = np.random.RandomState(seed)
    count = max(len(a.draws), len(b.draws))
    losses = _drawn(a, rng.permutation(np.arange(count) % len(a.draws))).least_loss(budgets[None])
    far_a = np.maximum(np.log10(budgets / a.points.flops_6nd.max()), 0.0)
    far_b = np.maximum(np.log10(np.where(np.isfinite(value), value, 1.0) * budgets / b.points.flops_6nd.max()), 0.0)
    shocks = rng.standard_normal((count, 1)) * np.hypot(far_a, far_b)[None] * DISCREPANCY_PER_DECADE
    drawn = _drawn(b, rng.permutation(np.arange(count) % len(b.draws))).flops_for(losses * np.exp(shocks)) / budgets
    settled = np.where(np.isfinite(drawn), drawn, np.inf)
    low, high = np.quantile(settled, [(1 - level) / 2, (1 + level) / 2], axis=0, method="inverted_cdf")
    return low, high


def _drawn(fit: Fit, rows: np.ndarray) -> Surface:
    """The law of each of these draws, (rows, 1)."""
    surface = Surface.of({name: values[rows, None] for name, values in fit.constant_draws().items()})
    assert surface is not None  # the constants have one
    return surface


def _outside(points: Points, flops: np.ndarray) -> np.ndarray:
    measured = points.flops_6nd
    return (flops < measured.min() / (1 + SAME_CELL)) | (flops > measured.max() * (1 + SAME_CELL))


def _cells(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """ln N and ln D of each cell (cells, 2), and the mean loss of its runs."""
    at = np.log(np.stack([points.n_params, points.d_tokens], axis=1))
    _, first, member, counts = np.unique(
        np.round(at / SAME_CELL), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    return at[first], np.bincount(member.ravel(), points.loss) / counts


def _in_words(
    flops: np.ndarray,
    value: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    extrapolated: np.ndarray,
    level: float,
    paired: Paired | None,
) -> str:
    inside = np.flatnonzero(~extrapolated)
    at = int(inside[-1]) if inside.size else 0
    where = f"at {flops[at]:.3g} FLOPs" if inside.size else f"at {flops[at]:.3g} FLOPs, an extrapolation"
    if not np.isfinite(value[at]):
        said = f"{where} no compute brings B to the loss of A: its floor lies above"
    else:
        verdict = "; no difference is shown" if low[at] <= 1 <= high[at] else ""
        said = (
            f"{where} B needs {value[at]:.3g} times the compute of A for the same loss "
            f"({low[at]:.3g} .. {high[at]:.3g} at {level:.0%}){verdict}"
        )
    if paired is None:
        return f"{said}; no two runs have the same N and D"
    error = "" if paired.standard_error is None else f" +- {paired.standard_error:.2g}"
    return f"{said}; {len(paired.difference)} pairs of runs of the same N and D: L_b - L_a = {paired.mean:.3g}{error}"
