"""What are the figures of a report, and in which order? Most asked first, each with the sentence that reads it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fitting.allocate import allocate
from fitting.drift import drift
from fitting.fit import Fit
from fitting.profile import profile
from results.compression import coded
from results.figures.allocation import allocation_against_compute
from results.figures.calibration import calibration
from results.figures.cloud import bootstrap_cloud
from results.figures.compression import bits_against_compute, ratios_against_compute
from results.figures.compute import frontier, isoflop_slices
from results.figures.context import context_against_compute
from results.figures.drift import constants_drift
from results.figures.fit_quality import predicted_against_measured, residuals_against
from results.figures.forecast import forecasts_against_truth
from results.figures.forecast_errors import forecast_errors
from results.figures.loss_curves import loss_curves
from results.figures.profiles import profile_likelihoods
from results.figures.surface import loss_surface
from results.outcome import Outcome
from results.page import Page
from results.scores import laws_of, told_of
from results.view import View, dearest_6nd

NAMED_BUDGETS = (10.0, 100.0)  # times the dearest fitted run
GRID_BUDGETS = 61
MOST_FORECASTS = 24  # drawn; the table of a ledger is the dashboard's
FEWEST_TO_SUM_UP = 4  # forecasts that were told
FEWEST_TO_CUT = 12  # points; fewer leave no cuts worth drawing


def add_figures(page: Page, view: View) -> None:
    """Most asked first: did the forecast hold, what does compute buy, how to spend more, then the evidence."""
    fit = view.fit
    if view.outcomes:
        _add_forecasts(page, view.outcomes)
    best, fitted, marked = None, (0.0, 0.0), ()
    if fit is not None:
        fitted = (float(fit.points.flops_6nd.min()), dearest_6nd(fit))
        marked = tuple(fitted[1] * times for times in NAMED_BUDGETS)
        best = allocate(fit, np.unique([*np.geomspace(fitted[0], max(marked), GRID_BUDGETS), *marked]))
    if any(record.loss is not None for record in view.records):
        page.heading("What compute buys")
        reading = "Each point is a run; there is no law to draw through them."
        if best is not None:
            reading = (
                "Each point is a run: one well above the line split its compute badly between N and D, one well below "
                "it did better than the law can say."
            )
        row = [(frontier(view.records, fit, best), reading)]
        if fit is not None:
            reading = (
                "Along a curve compute stays the same: left of its minimum the model is too small, right of it the "
                "model sees too few tokens. Points are the runs near that budget, carried to it along the law."
            )
            row.append((isoflop_slices(view.grid, fit), reading))
        page.figure_row(*row)
    if best is not None:
        page.heading("How to spend a larger budget")
        readings = {
            "n_params": "Go up from a budget to the parameters to choose; where the band is wide, the runs do not say.",
            "d_tokens": "The tokens that go with it; the labels stand at 10 and 100 times the dearest fitted run.",
        }
        drawn = ((allocation_against_compute(best, name, fitted, marked), said) for name, said in readings.items())
        page.figure_row(*drawn)
    if view.curves:
        page.heading("Loss curves")
        reading = (
            "Lines are the training loss (lightly smoothed), markers the held-out loss after the last step: lines "
            "should fall steadily and larger models should end lower."
        )
        page.figure_row((loss_curves(view.records, view.curves), reading))
    if view.context:
        page.heading("Use of context")
        reading = (
            "How much lower the loss is far into a window than near its beginning. Where it begins to rise, runs "
            "learn to copy from the text before, and their loss falls faster than a law of smaller runs can tell."
        )
        page.figure_row((context_against_compute(view.context), reading))
    if fit is not None:
        page.heading("How well the law fits")
        reading = "Points on the dashed line are predicted exactly; a star is a sealed forecast, which was not fitted."
        strip = "The grey strip is the noise of one run; a slope or a bow means that the law bends wrongly in {}."
        names = (("n_params", "N"), ("d_tokens", "D"), ("flops", "C"))
        page.figure_row(
            (predicted_against_measured(fit, view.outcomes), reading),
            *((residuals_against(fit, name), strip.format(symbol)) for name, symbol in names),
        )
        _add_knowledge(page, view, fit)
    if len(runs := coded(view.records)) > 1:
        page.heading("Runs as compressors of text")
        reading = "The loss in a unit that does not depend on the tokenizer."
        ratio = "Held-out text by the finished model; training text as the model learned, with nothing else to send."
        page.figure_row((bits_against_compute(runs), reading), (ratios_against_compute(runs), ratio))


def _add_forecasts(page: Page, outcomes: Sequence[Outcome]) -> None:
    """A ledger of many laws is summed up; each forecast of its first law is drawn."""
    page.heading("Forecast against truth")
    reading = (
        "The bar is the interval that was sealed, the dot the forecast, the star what the run reached: a good "
        "forecast has the star inside a short bar."
    )
    shown = [one for one in outcomes if one.forecast.law == laws_of(outcomes)[0]]
    page.figure_row((forecasts_against_truth(shown[-MOST_FORECASTS:]), reading))
    told = told_of(outcomes)
    if len(told) >= FEWEST_TO_SUM_UP:
        span = "By how far each reached beyond the dearest run behind it; zero inside the bar: the interval held."
        often = "On the dashed line intervals hold as often as they say; below it they are over-confident."
        page.figure_row((forecast_errors(told), span), (calibration(told), often))


def _add_knowledge(page: Page, view: View, fit: Fit) -> None:
    """What the runs determine, and what they leave open."""
    row = [
        (profile_likelihoods(profile(fit)), "Each constant held, the others fitted anew: below the line is allowed.")
    ]
    if len(fit.points) > FEWEST_TO_CUT:
        said = "A law that is right keeps its constants as dearer runs come in."
        row.append((constants_drift(drift(fit)), said))
    page.heading("What the runs determine")
    page.figure_row(*row)
    row = []
    if fit.law.surface:
        said = "Lines of equal loss over N and D; the best run for a compute is where its dotted line meets the red."
        row.append((loss_surface(view.records, fit), said))
    if {"alpha", "beta"} <= fit.constants.keys():
        said = "Optima of the resampled runs: a long thin cloud means that two constants trade against each other."
        row.append((bootstrap_cloud(fit, "alpha", "beta"), said))
    if row:
        page.figure_row(*row)
