"""Did sealed predictions hold? The ledger: what was promised, when, what happened, and how often intervals held."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from dash.development.base_component import Component

from results.context import ContextUse, context_use, no_context_used
from results.dashboard.controls import Choice, Control, Option, Values
from results.dashboard.moment import Live, Moment
from results.dashboard.parts import cards, empty, heading, table
from results.dashboard.tab import Panel, Tab, Words
from results.figures.calibration import calibration
from results.figures.context import context_against_compute
from results.figures.forecast import forecasts_against_truth
from results.figures.forecast_errors import forecast_errors
from results.outcome import Outcome
from results.scores import law_scores, laws_of, told_of
from results.words import BAD, CAUTION, GOOD, PLAIN

NAME = "forecasts"
EVERY = ""
MOST_ROWS = 24  # of the figure; the table has all
MOST_LISTED = 500


def controls(live: Live, moment: Moment) -> list[Control]:
    laws = laws_of(moment.outcomes)
    first = laws[0] if laws else EVERY
    return [Choice("law", "forecasts of", [Option(EVERY, "all laws"), *(Option(one, one[:40]) for one in laws)], first)]


def _shown(moment: Moment, values: Values) -> list[Outcome]:
    return [one for one in moment.outcomes if values["law"] in (EVERY, one.forecast.law)]


def _state(live: Live, moment: Moment, values: Values) -> list[Component]:
    if not moment.outcomes:
        said = (
            "A sweep with design.target seals a forecast before the target is trained; experiment=quickstart has one."
        )
        return [empty("No forecast is sealed", said)]
    shown = _shown(moment, values)
    told = told_of(shown)
    late = sum(one.sealed_before is False for one in shown)
    held = sum(bool(one.inside) for one in told)
    errors = [abs(one.error) for one in told if one.error is not None]
    tone = PLAIN if not told else GOOD if held >= 0.9 * len(told) else BAD
    made = [
        (
            "Inside their 90% interval",
            f"{held} of {len(told)}" if told else "none is told yet",
            ([f"{waiting} still open."] if (waiting := len(shown) - len(told) - late) else [])
            + ([f"{late} were sealed after their run had begun, and count for nothing."] if late else []),
            tone,
        ),
        (
            "Median error",
            f"{np.median(errors):.2%}" if errors else "not known",
            [f"Largest {max(errors):.2%}." if errors else "No sealed run has ended."],
            PLAIN,
        ),
    ]
    if (warning := no_context_used(_uses(live, moment))) is not None:
        made.append(("Use of context", "none yet", [f"{warning[0].upper()}{warning[1:]}."], CAUTION))
    return [cards(made), *_scores(moment), *_ledger(shown)]


def _scores(moment: Moment) -> list[Component]:
    """One row a law."""
    rows = [
        (
            one.law,
            f"{one.told}",
            f"{one.median_error:.2%}",
            f"{one.largest_error:.2%}",
            f"{one.inside50} of {one.told50}",
            f"{one.inside90} of {one.told}",
            f"{one.half_width90:.2%}",
            f"{one.interval_score90:.4f}",
        )
        for one in law_scores(moment.outcomes)
    ]
    if not rows:
        return []
    headers = (
        "law",
        "told",
        "error\nmedian",
        "error\nlargest",
        "in 50%",
        "in 90%",
        "half-width\nmedian",
        "interval score\nlower is better",
    )
    note = "Forecasts of one target share its luck: ten of them are not ten independent trials."
    return [*heading("Scores by law", note), table(headers, rows, numbers=range(1, 8))]


def _ledger(shown: Sequence[Outcome]) -> list[Component]:
    rows, classes = [], []
    for one in list(reversed(shown))[:MOST_LISTED]:
        sealed = one.forecast
        truth = "open" if one.truth is None else f"{one.truth:.4f}"
        error = "" if one.error is None else f"{one.error:+.2%}"
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(sealed.sealed_at))
        rows.append(
            (
                sealed.run_id[:12],
                sealed.law,
                f"{sealed.span:.3g}x",
                f"{sealed.loss:.4f}",
                f"{sealed.low:.4f} .. {sealed.high:.4f}",
                truth,
                error,
                one.verdict,
                stamp,
                f"{sealed.points} runs, {sealed.points_sha256[:8]}",
            )
        )
        classes.append("off" if one.verdict in ("OUTSIDE", "sealed too late") else "")
    headers = (
        "run",
        "law",
        "span\nof compute",
        "sealed loss\nnats/token",
        "90% interval",
        "truth",
        "error",
        "verdict",
        "sealed at\nUTC",
        "from",
    )
    more = f" The newest {MOST_LISTED} of {len(shown):,}." if len(shown) > MOST_LISTED else ""
    return [
        *heading("Ledger", f"What was sealed stays: nothing replaces it.{more}"),
        table(headers, rows, numbers=(2, 3, 4, 5, 6), classes=classes),
    ]


def _against(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    shown = _shown(moment, values)
    if not shown:
        return "No forecast is sealed."
    nearest = sorted(shown[-MOST_ROWS:], key=lambda one: (one.forecast.span, one.forecast.run_id))
    return forecasts_against_truth(nearest)


def _errors(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    told = [one for one in _shown(moment, values) if one.truth is not None]
    return forecast_errors(told) if told else "No sealed run has ended."


def _calibration(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    told = told_of(moment.outcomes)
    return calibration(told) if told else "No sealed run has ended."


def _uses(live: Live, moment: Moment) -> list[ContextUse]:
    return live.once(("context", moment.version), lambda: context_use(moment.records, live.store.all_measurements()))


def _context(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    uses = _uses(live, moment)
    return (
        context_against_compute(uses) if uses else "No run was evaluated by position, or windows end before it tells."
    )


FORECASTS = Tab(
    name=NAME,
    title="Forecasts",
    question="What was promised before the run, and what happened.",
    controls=controls,
    pieces=(
        Words("state", _state, needs=("law",)),
        Panel(
            "errors",
            "Error against span",
            "Forecast beside truth, by how far it reached beyond the dearest run behind it. Zero inside the bar: "
            "the interval held.",
            _errors,
            ("law",),
            zoom=("law",),
        ),
        Panel(
            "calibration",
            "Calibration",
            "Of all laws. On the dashed line intervals hold as often as they say; below it they are over-confident.",
            _calibration,
            (),
            420,
        ),
        Panel(
            "against",
            "Forecasts against truth",
            "The bar is the sealed interval, the dot the forecast, the star what the run reached.",
            _against,
            ("law",),
            460,
            full=True,
            zoom=("law",),
        ),
        Panel(
            "context",
            "Use of context",
            "How much lower the loss is far into a window than near its beginning. Where it begins to rise, the loss "
            "falls faster than a law of smaller runs can tell.",
            _context,
            (),
            400,
            full=True,
        ),
    ),
)
