"""What law do the runs obey, and how well is it known? Constants, surface, slices, residuals, drift."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
from dash.development.base_component import Component

from fitting.allocate import allocate, has_closed_form
from fitting.envelope import fit_envelope
from fitting.errors import InputError
from fitting.fit import Fit, FitStatus
from fitting.profile import Profile, profile
from fitting.record import fit_record
from fitting.show import held_out_sentence
from results.dashboard.controls import Choice, Choices, Control, Option, Slide, Values
from results.dashboard.fits import (
    ALL,
    BEST,
    COUNTS,
    Asked,
    cut_range,
    drift_of,
    fit_of,
    law_options,
    points_of,
    refit_of,
)
from results.dashboard.moment import Live, Moment
from results.dashboard.parts import cards, empty, heading, table
from results.dashboard.tab import Panel, Tab, Words
from results.figures.cloud import bootstrap_cloud
from results.figures.compute import frontier, isoflop_slices
from results.figures.drift import constants_drift
from results.figures.envelope import envelope_of_runs
from results.figures.fit_quality import predicted_against_measured, residuals_against
from results.figures.profiles import profile_likelihoods
from results.figures.surface import loss_surface
from results.points import N_DEFINITION
from results.record import RunRecord
from results.report_figures import GRID_BUDGETS
from results.sections import MEANINGS
from results.words import BAD, CAUTION, GOOD, PLAIN, short

NAME = "law"
SUBSET = ("law", "count", "sweep", "cut")  # what every figure of a fit depends on
FEW_RESAMPLES = 2  # of the envelope: its figure shows no interval
NO_POSITIONS = 12.0  # log10 FLOPs of a slider that has nothing to cut
TONES = {FitStatus.CONVERGED: GOOD, FitStatus.NOT_CONVERGED: BAD, FitStatus.NOT_IDENTIFIED: BAD}


def controls(live: Live, moment: Moment) -> list[Control]:
    sweeps = sorted({record.sweep for record in moment.records})
    try:
        low, high = cut_range(points_of(live, moment.records, Asked(BEST)))
    except InputError:
        low, high = NO_POSITIONS - 1, NO_POSITIONS
    marks = {low: _flops(low), high: f"all ({_flops(high)})"}
    pairs = [Option(f"{a},{b}", f"{a} and {b}") for a, b in _PAIRS]
    return [
        Choice("law", "law", law_options(), BEST),
        Choice("count", "N counts", COUNTS, N_DEFINITION),
        Choice("sweep", "runs of", [Option(ALL, "all sweeps"), *(Option(name, name[:60]) for name in sweeps)], ALL),
        Slide("cut", "fit only runs up to this compute", low, high, 0.01, high, marks, wide=True),
        Choice("pair", "cloud of", pairs, pairs[0].value),
        Choices("beside", "other laws beside it", law_options()[1:], ()),
    ]


_PAIRS = (("alpha", "beta"), ("E", "alpha"), ("E", "beta"), ("A", "alpha"), ("B", "beta"))


def _asked(values: Values) -> Asked:
    return Asked(values["law"], values["count"], values["sweep"])


def _fit(live: Live, moment: Moment, values: Values) -> Fit:
    """Of the runs below the cut, which may be all of them."""
    whole = _whole(live, moment, values)
    cut = 10 ** float(values["cut"])
    return whole if cut >= whole.points.flops.max() else refit_of(live, whole, cut).fit


def _whole(live: Live, moment: Moment, values: Values) -> Fit:
    asked = _asked(values)
    return fit_of(live, points_of(live, moment.records, asked), asked.law)


def _records(moment: Moment, fit: Fit) -> list[RunRecord]:
    """What is drawn with a fit: its runs, those above the cut, and the targets."""
    return [record for record in moment.records if record.loss is not None and record.role != "check"]


def _state(live: Live, moment: Moment, values: Values) -> list[Component]:
    try:
        whole = _whole(live, moment, values)
        fit = _fit(live, moment, values)
    except InputError as error:
        return [empty("No law", f"{error}.")]
    record = fit_record(fit)
    shown = [_status_card(fit), _exponent_card(fit), _held_out_card(fit, whole)]
    drawn = [cards(shown)]
    rows = []
    for name, one in record["constants"].items():
        known = one["low"] < one["high"]
        interval = f"{short(one['low'], 4)} .. {short(one['high'], 4)}" if known else "none: on its bound"
        rows.append((name, short(one["value"], 4), interval, MEANINGS.get(name, "")))
    drawn.append(table(("constant", "value", f"{record['level']:.0%} interval", "meaning"), rows, numbers=(1, 2)))
    if values["beside"]:
        drawn += _beside(live, moment, values)
    return drawn


def _status_card(fit: Fit) -> tuple[str, str, list[str], str]:
    said = [f"{fit.law.equation}, from {len(fit.points)} runs.", f"{fit.sentence[0].upper()}{fit.sentence[1:]}."]
    if fit.chosen:
        said.append(f"{fit.chosen[0].upper()}{fit.chosen[1:]}.")
    if fit.points.excluded:
        said.append(f"Left out: {'; '.join(fit.points.excluded[:4])}{'; …' * (len(fit.points.excluded) > 4)}.")
    return "Scaling law", fit.status.value, said, TONES.get(fit.status, CAUTION)


def _exponent_card(fit: Fit) -> tuple[str, str, list[str], str]:
    topic = "Growth of the best N with compute"
    draws, c = fit.constant_draws(), fit.constants
    if not has_closed_form(fit) or not {"alpha", "beta"} <= c.keys() or c["alpha"] + c["beta"] <= 0:
        return topic, "not known", ["This law gives no exponent of N*; chinchilla or gamma does."], PLAIN
    a = c["beta"] / (c["alpha"] + c["beta"])
    total = np.where(draws["alpha"] + draws["beta"] > 0, draws["alpha"] + draws["beta"], np.nan)
    low, high = np.nanquantile(draws["beta"] / total, [0.05, 0.95])
    equal = "N and D grow alike where it is 0.5."
    return topic, f"N* ~ C^{a:.2f} ({low:.2f} .. {high:.2f})", [f"D* ~ C^{1 - a:.2f}. {equal}"], PLAIN


def _held_out_card(fit: Fit, whole: Fit) -> tuple[str, str, list[str], str]:
    if fit.held_out is None:
        return "Held out by compute", "none", ["Too few points to hold any out."], CAUTION
    cut = "" if fit is whole else " These are the runs above the cut."
    sentence = held_out_sentence(fit)
    said = f"{sentence[0].upper()}{sentence[1:]}; noise of one run {fit.noise:.2%}.{cut}"
    return "Held out by compute", f"{fit.held_out.median_error:.2%} median error", [said], PLAIN


def _beside(live: Live, moment: Moment, values: Values) -> list[Component]:
    """The same points under other laws."""
    points = points_of(live, moment.records, _asked(values))
    rows = []
    for name in [_whole(live, moment, values).law.name, *values["beside"]]:
        try:
            fit = fit_of(live, points, name)
        except InputError as error:
            rows.append((name, "no fit", "", "", "", str(error)))
            continue
        held = fit.held_out
        error = "" if held is None else f"{held.median_error:.2%}"
        rows.append((name, fit.status.value, error, f"{fit.noise:.2%}", f"{len(fit.theta)}", fit.law.equation))
    headers = ("law", "status", "held-out error\nmedian", "residual", "parameters", "equation")
    return [*heading("Laws side by side", "All runs, whatever the cut."), table(headers, rows, numbers=(2, 3, 4))]


def _surface(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    fit = _fit(live, moment, values)
    if values["count"] != N_DEFINITION or not fit.law.surface:
        return "Drawn for laws of N and D in non-embedding parameters."
    return loss_surface(_records(moment, fit), fit)


def _slices(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    fit = _fit(live, moment, values)
    if values["count"] != N_DEFINITION or not has_closed_form(fit):
        return "Drawn for laws with a closed optimum, chinchilla and gamma among them, in non-embedding parameters."
    return isoflop_slices([record for record in moment.grid if record.loss is not None], fit)


def _frontier(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    fit = _fit(live, moment, values)
    if values["count"] != N_DEFINITION or not has_closed_form(fit):
        return "Drawn for laws with a closed optimum, chinchilla and gamma among them, in non-embedding parameters."
    low, high = fit.points.flops_6nd.min(), max(record.flops_6nd for record in _records(moment, fit))
    best = allocate(fit, np.geomspace(low, 1.5 * high, GRID_BUDGETS))
    return frontier(_records(moment, fit), fit, best)


def _envelope(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    points = _fit(live, moment, values).points
    try:
        found = fit_envelope(points, resamples=FEW_RESAMPLES)
    except InputError:
        found = None
    return envelope_of_runs(points, found)


def _predicted(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    return predicted_against_measured(_fit(live, moment, values))


def _residual(quantity: str):
    def draw(live: Live, moment: Moment, values: Values) -> go.Figure | str:
        return residuals_against(_fit(live, moment, values), quantity)

    return draw


def _cloud(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    fit, (across, up) = _fit(live, moment, values), values["pair"].split(",")
    missing = [name for name in (across, up) if name not in fit.constants]
    if missing:
        return f"The {fit.law.name} law has no {' and no '.join(missing)}; it has {', '.join(fit.constants)}."
    return bootstrap_cloud(fit, across, up)


def _profiles(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    return profile_likelihoods(_profiled(live, moment, values))


def _profiled(live: Live, moment: Moment, values: Values) -> tuple[Profile, ...]:
    fit = _fit(live, moment, values)
    key = ("profile", fit.points.digest, fit.points.n_definition, fit.law.name)
    return live.reckon(key, lambda: profile(fit))


def _identified(live: Live, moment: Moment, values: Values) -> list[Component]:
    """What the data leave open, in words."""
    try:
        found = _profiled(live, moment, values)
    except InputError as error:
        return [empty("No profile", f"{error}.")]
    rows = [(one.name, "identified" if one.identified else "not identified", f"{one.sentence}") for one in found]
    note = "a and b are ln of the N-term and of the D-term at the middle of the runs."
    marks = ["" if one.identified else "off" for one in found]
    return [*heading("What the runs determine", note), table(("constant", "verdict", "why"), rows, classes=marks)]


def _drift(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    whole = _whole(live, moment, values)
    cut = 10 ** float(values["cut"])
    return constants_drift(drift_of(live, whole), cut if cut < whole.points.flops.max() else None)


def _flops(exponent: float) -> str:
    return f"{10**exponent:.1e}".replace("e+", "e") if math.isfinite(exponent) else ""


LAW = Tab(
    name=NAME,
    title="Law",
    question="Which law, which constants, how well known, and where it misses.",
    controls=controls,
    pieces=(
        Words("state", _state, needs=(*SUBSET, "beside")),
        Panel(
            "surface",
            "Loss surface",
            "Lines of equal loss over N and D. Along a dotted line compute stays the same; the best run for it is "
            "where the red line crosses.",
            _surface,
            SUBSET,
            460,
        ),
        Panel(
            "slices",
            "IsoFLOP slices",
            "Along a curve compute stays the same; its minimum is the best N. Points are runs near that budget, "
            "carried to it along the law.",
            _slices,
            SUBSET,
            460,
        ),
        Panel(
            "frontier",
            "Loss against compute",
            "The band is the 90% interval of one more run. Runs above the line split their compute badly.",
            _frontier,
            SUBSET,
        ),
        Panel(
            "envelope",
            "Envelope (approach 1)",
            "Runs that no run of less compute beats. Circled ones beat a larger and a smaller model: only they say"
            " which N is best.",
            _envelope,
            SUBSET,
        ),
        Panel(
            "drift",
            "Drift with the compute cut",
            "A law that is right keeps its constants as dearer runs come in. Drag the cut above to fit fewer runs "
            "and predict the rest.",
            _drift,
            SUBSET,
            560,
        ),
        Panel(
            "profiles",
            "Profile likelihoods",
            "Each constant held where it stands, the others fitted anew. What stays below the dashed line is "
            "allowed at 90%; a side that never rises is not identified.",
            _profiles,
            SUBSET,
            560,
        ),
        Words("identified", _identified, needs=SUBSET),
        Panel(
            "predicted",
            "Predicted against measured",
            "Points on the dashed line are predicted exactly.",
            _predicted,
            SUBSET,
            400,
        ),
        Panel(
            "by-n",
            "Error of the law against N",
            "The grey strip is the noise of one run; a slope or a bow means that the law bends wrongly in N.",
            _residual("n_params"),
            SUBSET,
            400,
        ),
        Panel("by-d", "Error of the law against D", "The same against tokens.", _residual("d_tokens"), SUBSET, 400),
        Panel(
            "by-c",
            "Error of the law against C",
            "The same against compute: a slope here spoils every extrapolation.",
            _residual("flops"),
            SUBSET,
            400,
        ),
        Panel(
            "cloud",
            "Bootstrap cloud",
            "Optima of the resampled runs: a long thin cloud means that two constants trade against each other.",
            _cloud,
            (*SUBSET, "pair"),
            400,
            zoom=("pair", "law"),
        ),
    ),
)
