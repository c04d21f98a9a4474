"""How does a plan look as a page? Headline cards, four figures, every table of the terminal."""

from __future__ import annotations

import time

from fitting.planner import words
from fitting.planner.plan import Plan
from fitting.planner.rows import asked, belief_sentences, distance, sections
from results.figures.plan_causes import plan_causes
from results.figures.plan_cost import plan_cost
from results.figures.plan_frontier import plan_frontier
from results.figures.plan_iso_loss import plan_iso_loss
from results.page import Page


def plan_page(plan: Plan) -> str:
    """One self-contained HTML page."""
    written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    page = Page(f"Plan: {words.counted(plan.n_params)} parameters", f"Asked: {asked(plan.request)}. Written {written}")
    page.cards(plan_cards(plan))
    page.figure_row(
        (
            plan_frontier(plan),
            "The loss of the best run for each budget, with its band. Beyond the shaded part lies no run behind this "
            "law. The star has the plan's own interval, its budget's included.",
        ),
        (
            plan_iso_loss(plan),
            "Runs of equal loss. Where the dotted line of the budget touches a curve is the optimum; to its left are "
            "smaller models that reach the same loss with more tokens.",
        ),
    )
    page.figure_row(
        (
            plan_cost(plan),
            f"What a loss costs on {plan.bill.rates.chip.name}. The band is what MFU and price leave open; "
            "the star's bar holds the law too.",
        ),
        (plan_causes(plan), "What the uncertainty comes from: look here before buying more precision."),
    )
    for section in sections(plan):
        page.heading(section.title, *([section.note] if section.note else []))
        page.table(section.headers, section.rows)
    page.heading("Where the law comes from", *belief_sentences(plan.law), distance(plan))
    return page.html()


def plan_cards(plan: Plan) -> list[tuple[str, str, list[str], str]]:
    """Topic, answer, sentences, tone of each."""
    run = f"{words.counted(plan.n_params)} parameters on {words.counted(plan.d_tokens)} tokens"
    bill = plan.bill
    cost = words.money(bill.dollars) if bill.dollars is not None else f"{words.plain(bill.chip_hours)} chip-hours"
    time_taken = []
    if bill.days is not None and bill.chips is not None:
        time_taken = [f"{words.plain(bill.days)} days on {words.plain(bill.chips)} {bill.rates.chip.name}."]
    cards = [
        ("Caveat", "Read this first", [sentence[0].upper() + sentence[1:] + "."], "bad") for sentence in plan.caveats
    ]
    return [
        *cards,
        ("The run", run, [f"In brackets: {plan.law.band}.", f"6ND = {words.flops(plan.flops)} FLOPs."], "plain"),
        (
            "The loss",
            f"{words.loss(plan.loss)} nats per token",
            [f"Law: {plan.law.name}, {plan.law.status}.", plan.law.sentence + "."],
            "good" if not plan.caveats else "caution",
        ),
        ("The distance", distance(plan), [f"From: {plan.law.source}."], "plain"),
        ("The bill", cost, [f"{words.plain(bill.chip_hours)} hours of {bill.rates.chip.name}.", *time_taken], "plain"),
    ]
