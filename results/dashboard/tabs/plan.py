"""What should be bought next? A run for a budget, its bill and alternatives, and the pilots before it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
from dash.development.base_component import Component

from fitting.chips import chip_named, chips
from fitting.next_runs.answer import NextRuns, next_runs
from fitting.next_runs.show import sweep_lines
from fitting.planner.belief import Belief
from fitting.planner.make import make_plan
from fitting.planner.own_runs import OwnRuns, own_runs
from fitting.planner.plan import Plan
from fitting.planner.request import Request
from fitting.planner.rows import belief_sentences, distance, sections
from fitting.planner.sources import kept_law
from fitting.planner.token_cost import SixN
from fitting.show import si
from results.dashboard.controls import Choice, Control, Number, Option, Slide, Values
from results.dashboard.fits import BEST, Asked, points_of
from results.dashboard.moment import Live, Moment
from results.dashboard.parts import cards, command, heading, table
from results.dashboard.tab import Panel, Tab, Words
from results.figures.plan_causes import plan_causes
from results.figures.plan_cost import plan_cost
from results.figures.plan_frontier import plan_frontier
from results.figures.plan_iso_loss import plan_iso_loss
from results.plan_page import plan_cards
from results.points import N_DEFINITION
from results.words import CAUTION, GOOD, PLAIN, short

NAME = "plan"
ASKED = ("times", "flops", "dollars", "chip", "price", "mfu", "serve", "unique")
# Lowest positions of sliders, which mean that nothing is asked.
NO_PRICE, NO_MFU, NO_SERVE, NO_UNIQUE = 0.0, 0.0, 7.0, 5.0
FURTHEST = 4.0  # decades beyond the dearest run that the planner's average is fitted for
PILOTS = ("0.003", "0.01", "0.03", "0.1")  # of the target's compute


def controls(live: Live, moment: Moment) -> list[Control]:
    offered = [Option(chip.name, chip.name) for chip in chips()]
    decades = {0.0: "1x", 1.0: "10x", 2.0: "100x", 3.0: "1000x", 4.0: "10,000x"}
    return [
        Slide("times", "budget: compute, times the dearest run", 0.0, FURTHEST, 0.05, 2.0, decades, wide=True),
        Number("flops", "or in FLOPs", placeholder="such as 1e18"),
        Number("dollars", "or in dollars", placeholder="such as 5e3"),
        Choice("chip", "chip", offered, "h100"),
        Slide("price", "dollars per chip-hour", NO_PRICE, 20, 0.1, NO_PRICE, {0: "offers", 5: "5", 10: "10", 20: "20"}),
        Slide("mfu", "MFU", NO_MFU, 70, 1, NO_MFU, {0: "usual", 20: "20%", 40: "40%", 70: "70%"}),
        Slide(
            "serve",
            "tokens to be served in its life",
            NO_SERVE,
            16,
            0.25,
            NO_SERVE,
            {7: "none", 10: "10B", 13: "10T", 16: "10,000T"},
        ),
        Slide(
            "unique",
            "unique tokens of text there are",
            NO_UNIQUE,
            15,
            0.25,
            NO_UNIQUE,
            {5: "enough", 8: "100M", 11: "100B", 15: "1000T"},
        ),
        Choice(
            "pilots",
            "pilots before it may cost",
            [Option("", "nothing"), *(Option(one, f"{float(one):.1%} of it") for one in PILOTS)],
            "",
        ),
    ]


def _law(live: Live, moment: Moment) -> tuple[Belief, OwnRuns]:
    """The average of laws of the store, reckoned once. Raises InputError where the runs bear none."""
    points = points_of(live, moment.records, Asked(BEST))
    done = [record for record in moment.records if record.status == "done"]

    def make() -> tuple[Belief, OwnRuns]:
        names = (
            "status",
            "role",
            "eval_bytes",
            "eval_tokens",
            "mfu",
            N_DEFINITION,
            "d_tokens",
            "flops",
            "device",
            "learning_rate",
        )
        names += ("vocab_size", "sequence", "loss", "width", "depth", "schedule", "optimiser")
        columns = {name: np.asarray([getattr(record, name) for record in done]) for name in names}
        found = kept_law(points, "auto", own_runs(columns, N_DEFINITION))
        return found.belief, found.own

    return live.reckon(("belief", points.digest, len(done)), make)


def _plan(live: Live, moment: Moment, values: Values) -> Plan:
    """Raises InputError where what is asked cannot be had."""
    belief, own = _law(live, moment)
    chip = chip_named(values["chip"], chips())
    request = Request(
        flops=values["flops"]
        or (None if values["dollars"] else belief.provenance.largest_flops * 10 ** values["times"]),
        dollars=values["dollars"],
        mfu=values["mfu"] / 100 or None,
        price=values["price"] or None,
        serve_tokens=10 ** values["serve"] if values["serve"] > NO_SERVE else None,
        unique_tokens=10 ** values["unique"] if values["unique"] > NO_UNIQUE else None,
        chip=chip.name,
    )
    key = ("plan", id(belief), repr(request))
    return live.once(key, lambda: make_plan(request, belief, chip, own, SixN()))


def _figure(draw: Callable[[Plan], go.Figure]):
    return lambda live, moment, values: draw(_plan(live, moment, values))


def _state(live: Live, moment: Moment, values: Values) -> list[Component]:
    return [cards(plan_cards(_plan(live, moment, values)))]


def _tables(live: Live, moment: Moment, values: Values) -> list[Component]:
    plan = _plan(live, moment, values)
    drawn: list[Component] = []
    for section in sections(plan):
        drawn += heading(section.title, *([section.note] if section.note else []))
        drawn.append(table(section.headers, section.rows))
    return [*drawn, *heading("Where the law comes from", *belief_sentences(plan.law), distance(plan))]


def _next(live: Live, moment: Moment, values: Values) -> list[Component]:
    """The runs that would narrow the plan's interval most; seconds of work, so only where it is asked for."""
    if not values["pilots"]:
        said = "Say above what pilots before the plan may cost, to see which runs would narrow its interval most."
        return heading("Next runs to buy", said)
    plan = _plan(live, moment, values)
    points = points_of(live, moment.records, Asked(BEST))
    target, budget = plan.flops.value, plan.flops.value * float(values["pilots"])
    key = ("next", points.digest, f"{target:.6g}", f"{budget:.6g}")
    found: NextRuns = live.reckon(key, lambda: next_runs(points, target, budget))
    before, after = (f"{band.loss:.3f} ({band.low:.3f} .. {band.high:.3f})" for band in (found.before, found.after))
    tone = CAUTION if found.verdict.stop else GOOD
    shown = [
        ("The target's loss now", before, [f"Half-width {found.before.width:.2%} at {short(target)} FLOPs."], PLAIN),
        (
            "Expected after the pilots",
            after,
            [f"Half-width {found.after.width:.2%} for {short(found.cost)} FLOPs."],
            tone,
        ),
        (
            "Do pilots pay?",
            "stop" if found.verdict.stop else "go on",
            [f"{found.verdict.sentence[0].upper()}{found.verdict.sentence[1:]}", *found.caveats],
            tone,
        ),
    ]
    rows = [
        (
            f"{place}",
            si(run.n_params),
            si(run.d_tokens),
            f"{run.d_tokens / run.n_params:.3g}",
            short(run.flops),
            f"{run.flops / target:.2%}",
            run.purpose,
        )
        for place, run in enumerate(found.runs, 1)
    ]
    headers = ("run", "N\nnon-embedding", "D\ntokens", "D/N", "C\nFLOPs", "of the target", "what for")
    drawn = [*heading("Next runs to buy", "Those that narrow the target's interval most for their cost."), cards(shown)]
    if rows:
        drawn += [
            table(headers, rows, numbers=range(6)),
            *heading("Paste this"),
            *map(command, sweep_lines(found.runs)),
        ]
    return drawn


PLAN = Tab(
    name=NAME,
    title="Plan",
    question="Which run to buy, what it will reach and cost, and how sure that is.",
    controls=controls,
    pieces=(
        Words("state", _state, needs=ASKED),
        Panel(
            "frontier",
            "Loss of the best run for each budget",
            "Beyond the shaded part lies no run behind this law. The star has the plan's own interval, its "
            "budget's included.",
            _figure(plan_frontier),
            ASKED,
        ),
        Panel(
            "iso",
            "Runs of equal loss",
            "Where the dotted line of the budget touches a curve is the optimum; to its left are smaller models "
            "that reach the same loss with more tokens.",
            _figure(plan_iso_loss),
            ASKED,
        ),
        Panel(
            "cost",
            "What a loss costs",
            "The band is what MFU and price leave open; the star's bar holds the law too.",
            _figure(plan_cost),
            ASKED,
        ),
        Panel(
            "causes",
            "What the uncertainty comes from",
            "Look here before buying more precision.",
            _figure(plan_causes),
            ASKED,
        ),
        Words("next", _next, needs=(*ASKED, "pilots")),
        Words("tables", _tables, needs=ASKED),
    ),
)
