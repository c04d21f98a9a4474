"""Beliefs from points: a fit or the average of laws, made ready for the planner."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fitting.allocate import has_closed_form
from fitting.ensemble import MEMBERS, fit_ensemble, half_decade, in_words
from fitting.errors import InputError
from fitting.fit import Fit
from fitting.laws import law_named
from fitting.planner.average import AverageLaw
from fitting.planner.belief import DRAWS, LEVEL, SEED, Provenance
from fitting.planner.own_runs import OwnRuns
from fitting.planner.sampling import posterior_draws
from fitting.planner.single import SingleLaw
from fitting.planner.stored import StoredLaw
from fitting.planner.surface import Surface
from fitting.points import Points
from fitting.predict import DISCREPANCY_AT_HOME, DISCREPANCY_PER_DECADE

FURTHEST = 8  # half decades beyond the largest run that the average is fitted for; further is no forecast
BAND = f"{LEVEL:.0%} interval"


def belief_from_fit(fit: Fit, bytes_per_token: float | None = None) -> SingleLaw:
    """Raises InputError where the law has no surface over N and D that could be planned with."""
    if not has_closed_form(fit):
        raise InputError(
            f"the {fit.law.name} law is no sum of two power terms in N and D; plan with --law auto, chinchilla, "
            f"gamma, tied or kaplan"
        )
    every = np.linspace(0, len(fit.draws) - 1, DRAWS).astype(int)  # as many as there are where there are fewer
    surface, draws = Surface.of(fit.constants), Surface.of(fit.constant_draws())
    assert surface is not None  # has_closed_form
    assert draws is not None
    columns = ("E", "A", "B", "alpha", "beta", "gamma")
    size = len(fit.draws)
    return SingleLaw(
        shown=Provenance(
            name=fit.law.name,
            source=_source(fit.points),
            equation=fit.law.equation,
            status=fit.status.value,
            sentence=fit.sentence,
            n_definition=fit.points.n_definition,
            band=BAND,
            largest_flops=float(fit.points.flops_6nd.max()),
            smallest_flops=float(fit.points.flops_6nd.min()),
            bytes_per_token=bytes_per_token,
        ),
        surface=surface,
        resampled=Surface(*(np.broadcast_to(getattr(draws, name), (size,))[every] for name in columns)),
        noise=fit.noise,
        at_home=DISCREPANCY_AT_HOME,
        per_decade=DISCREPANCY_PER_DECADE,
    )


def plannable(fit: Fit, own: OwnRuns) -> StoredLaw | None:
    """The fit as `plan --fit` reads it; None where its law has no surface over N and D."""
    return StoredLaw(belief_from_fit(fit, own.bytes_per_token), own) if has_closed_form(fit) else None


def belief_from_average(
    points: Points, bytes_per_token: float | None = None, report: Callable[[str], None] = lambda words: None
) -> AverageLaw:
    """The average of laws, fitted for every half decade from the largest run to FURTHEST beyond."""
    largest = float(points.flops_6nd.max())
    nearest = int(half_decade(np.asarray(largest)))
    first = nearest - 1 if 10 ** (nearest / 2) > largest else nearest  # the half decade that a smaller target is in
    groups = range(first, nearest + FURTHEST + 1)
    ensemble = fit_ensemble(points, groups, report=report)
    tested = all(member.tested for member in ensemble.members)
    theta_draws = {}
    for place, name in enumerate(MEMBERS):
        if name not in {member.law for member in ensemble.members}:
            continue
        report(f"{name}: draws of its constants")
        law, modes = law_named(name), [ensemble.modes[name, group] for group in groups]
        features = law.features(points.columns())
        parameters = law.parameters(features - law.centre(features), np.log(points.loss))
        bounds = np.asarray([[p.lower for p in parameters], [p.upper for p in parameters]])
        targets = [max(10 ** (group / 2), largest) for group in groups]
        drawn = posterior_draws(modes, targets, points, bounds, SEED + place)
        theta_draws |= {(name, group): theta for group, theta in zip(groups, drawn, strict=True)}
    return AverageLaw(
        shown=Provenance(
            name="auto",
            source=_source(points),
            equation="; ".join(law_named(member.law).equation for member in ensemble.members),
            status="tested on its own largest runs" if tested else "not tested",
            sentence=in_words(ensemble.members)
            + ("" if tested else "; too few runs below its largest ones to measure how fast the laws go wrong"),
            n_definition=points.n_definition,
            band=BAND,
            largest_flops=ensemble.largest,
            smallest_flops=float(points.flops_6nd.min()),
            bytes_per_token=bytes_per_token,
        ),
        ensemble=ensemble,
        theta_draws=theta_draws,
    )


def _source(points: Points) -> str:
    left_out = f"; left out: {'; '.join(points.excluded)}" if points.excluded else ""
    return f"{len(points)} runs of {points.source}, sha256 {points.digest}{left_out}"
