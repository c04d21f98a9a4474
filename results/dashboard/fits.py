"""Which law stands behind a figure? Points of the store, their fit, refits below a cut: each reckoned once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fitting.choose import choose_law
from fitting.drift import Drift, drift
from fitting.errors import InputError
from fitting.fit import RESAMPLES, Fit, fit_law
from fitting.laws import law_named, law_names
from fitting.points import Points
from fitting.refit import Refit, refit
from results.dashboard.controls import Option
from results.dashboard.moment import Live
from results.points import N_DEFINITION, record_points, shortfall
from results.record import RunRecord

BEST = "best"  # of the held-out error (fitting/choose.py)
RESAMPLED_POINTS = 1_000_000  # points x resamples, so that a large store is fitted in seconds; RESAMPLES at most
FEWEST_RESAMPLES = 100
ALL = ""  # sweeps
COUNTS = (
    Option("n_params_non_embedding", "non-embedding"),
    Option("n_params", "all"),
    Option("n_params_flops", "FLOPs a token / 6"),
)
STANDARD = ("n_params", "d_tokens")  # inputs of laws that need nothing else


@dataclass(frozen=True)
class Asked:
    """Whose law is asked for."""

    law: str  # BEST or a name
    count: str = N_DEFINITION  # of parameters
    sweep: str = ALL


def law_options() -> list[Option]:
    """Laws of N and D alone."""
    plain = [name for name in law_names() if set(law_named(name).inputs) <= set(STANDARD)]
    return [Option(BEST, "best on held-out runs"), *(Option(name, name) for name in plain)]


def points_of(live: Live, records: Sequence[RunRecord], asked: Asked) -> Points:
    """Raises InputError where there are too few for any law."""
    chosen = [record for record in records if asked.sweep in (ALL, record.sweep)]
    points = record_points(chosen, live.store.name, asked.count)
    if points is None:
        raise InputError(shortfall(chosen) or "no points")
    return points


def fit_of(live: Live, points: Points, law: str) -> Fit:
    """Raises InputError where the points bear no such law."""
    resamples = min(RESAMPLES, max(FEWEST_RESAMPLES, RESAMPLED_POINTS // len(points)))

    def make() -> Fit:
        return choose_law(points, resamples) if law == BEST else fit_law(points, law, resamples=resamples)

    return live.reckon(("fit", points.digest, points.n_definition, points.excluded, law), make)


def refit_of(live: Live, fit: Fit, cut: float) -> Refit:
    """Of the points of at most this compute. Raises InputError where they are too few."""
    keep = fit.points.flops <= cut
    key = ("refit", fit.points.digest, fit.points.n_definition, fit.law.name, int(keep.sum()))
    return live.reckon(key, lambda: refit(fit, keep))


def drift_of(live: Live, fit: Fit) -> Drift:
    return live.reckon(("drift", fit.points.digest, fit.points.n_definition, fit.law.name), lambda: drift(fit))


def cut_range(points: Points) -> tuple[float, float]:
    """log10 of the least and the largest compute, to two digits outwards."""
    low, high = math.log10(points.flops.min()), math.log10(points.flops.max())
    return math.floor(100 * low) / 100, math.ceil(100 * high) / 100
