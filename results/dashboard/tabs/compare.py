"""Which of two is better, and by how much compute? Two sweeps, models or corpora, as a compute multiplier."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from dash.development.base_component import Component

from fitting.allocate import Allocation, allocate, has_closed_form
from fitting.compare import Multiplier, compare, pair_runs
from fitting.errors import InputError
from fitting.fit import Fit
from results.dashboard.controls import Choice, Control, Option, Values
from results.dashboard.fits import fit_of
from results.dashboard.moment import Live, Moment
from results.dashboard.parts import cards, empty, heading
from results.dashboard.tab import Panel, Tab, Words
from results.figures.multiplier import both_frontiers, compute_multiplier
from results.points import record_points, shortfall
from results.record import RunRecord
from results.report_figures import GRID_BUDGETS
from results.words import CAUTION, PLAIN, short

NAME = "compare"
COLUMNS = (
    "sweep",
    "mlp",
    "optimiser",
    "schedule",
    "parametrisation",
    "precision",
    "corpus",
    "tokenizer",
    "learning_rate",
)
COLUMNS += ("experts", "batch_tokens", "seed", "sequence")
LAWS = ("chinchilla", "gamma")
MOST_VALUES = 200
SEPARATOR = "="


def controls(live: Live, moment: Moment) -> list[Control]:
    sides = _sides(live, moment)
    options = [Option(side, side.replace(SEPARATOR, ": ", 1)[:70]) for side in sides] or [
        Option("", "nothing to compare")
    ]
    a, b = (sides[0], sides[1]) if len(sides) > 1 else (options[0].value, options[0].value)
    return [
        Choice("a", "A", options, a, wide=True),
        Choice("b", "B", options, b, wide=True),
        Choice("law", "law of both", [Option(name, name) for name in LAWS], LAWS[0]),
    ]


def _sides(live: Live, moment: Moment) -> list[str]:
    """COLUMN=VALUE for each two values or more of a column whose runs bear a law, whichever they are."""

    def make() -> list[str]:
        found = []
        for column in COLUMNS:
            values: dict[object, list[RunRecord]] = {}
            for record in moment.records:
                if record.role == "fit":
                    values.setdefault(getattr(record, column), []).append(record)
            able = [value for value, mine in values.items() if shortfall(mine) is None]
            if 2 <= len(able) <= MOST_VALUES:
                found += [f"{column}{SEPARATOR}{value}" for value in sorted(able, key=str)]
        return found

    return live.once(("sides", moment.version), make)


def _side(moment: Moment, name: str) -> list[RunRecord]:
    column, _, value = name.partition(SEPARATOR)
    if column not in COLUMNS:
        return []
    return [record for record in moment.records if str(getattr(record, column)) == value and record.role == "fit"]


def _fits(live: Live, moment: Moment, values: Values) -> tuple[Fit, Fit]:
    """Raises InputError where one of them cannot be fitted."""
    found = []
    for letter in ("a", "b"):
        records = _side(moment, values[letter])
        points = record_points(records, f"{live.store.name}, {values[letter]}")
        if points is None:
            raise InputError(f"{letter.upper()} ({values[letter] or 'nothing'}): {shortfall(records)}")
        found.append(fit_of(live, points, values["law"]))
    return found[0], found[1]


def _multiplier(live: Live, moment: Moment, values: Values) -> Multiplier:
    a, b = _fits(live, moment, values)
    return live.once(("compare", a.points.digest, b.points.digest, values["law"]), lambda: compare(a, b))


def _state(live: Live, moment: Moment, values: Values) -> list[Component]:
    if not _sides(live, moment):
        said = (
            "Runs differ in no setting that could be compared (sweep, MLP, optimiser, schedule, corpus, …). Train "
            "the same "
            "grid again with another setting, such as model.mlp=swiglu, into the same store."
        )
        return [empty("Nothing to compare", said)]
    if values["a"] == values["b"]:
        return [empty("A and B are the same", "Choose another B.")]
    try:
        found = _multiplier(live, moment, values)
    except InputError as error:
        return [empty("No multiplier", f"{error}."), *_pairs(moment, values)]
    corpora = {record.corpus_fingerprint for letter in ("a", "b") for record in _side(moment, values[letter])}
    warned = ["Their texts differ, so the two losses are different quantities."] if len(corpora) > 1 else []
    at = np.flatnonzero(found.reachable & ~found.extrapolated)
    if not len(at):
        return [empty("No multiplier within the runs", f"{found.sentence}.", *warned), *_pairs(moment, values)]
    last = at[-1]
    equal = found.low[last] <= 1 <= found.high[last]
    verdict = "The interval holds 1: these runs do not tell which is better." if equal else "The interval leaves 1 out."
    said = [f"At {short(found.flops[last])} FLOPs of A, the dearest that both have. {verdict}", *warned]
    answer = f"{found.value[last]:.2f}x ({found.low[last]:.2f} .. {found.high[last]:.2f})"
    shown = [("Compute that B needs for the loss of A", answer, said, CAUTION if equal or warned else PLAIN)]
    return [cards(shown), *_pairs(moment, values)]


def _pairs(moment: Moment, values: Values) -> list[Component]:
    """Without a law: runs of A and B of one N and D."""
    sides = []
    for letter in ("a", "b"):
        points = record_points(_side(moment, values[letter]), values[letter])
        if points is None:
            return []
        sides.append(points)
    found = pair_runs(*sides)
    if found is None:
        return heading("Pairs of equal N and D", "There are none within 2%.")
    error = "" if found.standard_error is None else f" (standard error {found.standard_error:.4f})"
    said = f"B minus A over {len(found.difference)} pairs, no law involved: {found.mean:+.4f} nats/token{error}."
    return heading("Pairs of equal N and D", said)


def _drawn_multiplier(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    if values["a"] == values["b"]:
        return "Choose two different sides."
    found = _multiplier(live, moment, values)
    if not found.reachable.any():
        return f"{found.sentence}."
    return compute_multiplier(found, values["a"], values["b"])


def _frontiers(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    if values["a"] == values["b"]:
        return "Choose two different sides."
    fits = _fits(live, moment, values)
    sides = [
        (values[letter], _side(moment, values[letter]), _best(fit))
        for letter, fit in zip(("a", "b"), fits, strict=True)
    ]
    return both_frontiers(sides)


def _best(fit: Fit) -> Allocation | None:
    flops = fit.points.flops_6nd
    return allocate(fit, np.geomspace(flops.min(), 1.5 * flops.max(), GRID_BUDGETS)) if has_closed_form(fit) else None


COMPARE = Tab(
    name=NAME,
    title="Compare",
    question="Two sweeps, models or texts: which needs less compute for the same loss.",
    controls=controls,
    pieces=(
        Words("state", _state, needs=("a", "b", "law")),
        Panel(
            "multiplier",
            "Compute multiplier",
            "Above 1, B needs more compute than A for the loss that A reaches.",
            _drawn_multiplier,
            ("a", "b", "law"),
            zoom=("a", "b"),
        ),
        Panel(
            "frontiers",
            "Both frontiers",
            "The best loss for each compute under the law of each, and the runs.",
            _frontiers,
            ("a", "b", "law"),
            zoom=("a", "b"),
        ),
    ),
)
