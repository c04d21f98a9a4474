"""How a plan is printed: caveats first, then the run, its bill, and what else could be bought."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fitting.planner import words
from fitting.planner.average import AverageLaw
from fitting.planner.blend import best_run
from fitting.planner.plan import Plan
from fitting.planner.quantity import Quantity
from fitting.planner.rows import Section, answer, belief_sentences, distance, sections
from fitting.planner.token_cost import SixN
from fitting.show import PLAIN_WIDTH


def plan_tables(plan: Plan, console: Console | None = None) -> None:
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=PLAIN_WIDTH)
    console.print(f"[bold]{escape(answer(plan))}[/bold]", highlight=False)
    for sentence in belief_sentences(plan.law):
        console.print(escape(sentence), highlight=False)
    console.print(distance(plan), highlight=False)
    for caveat in plan.caveats:
        console.print(f"[bold red]CAVEAT:[/bold red] {escape(caveat)}", highlight=False)
    for section in sections(plan):
        console.print(_table(section))


def average_tables(belief: AverageLaw, flops: list[float] | None, console: Console | None = None) -> None:
    """The laws of the average, and the best runs for larger budgets."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=PLAIN_WIDTH)
    for sentence in belief_sentences(belief.provenance):
        console.print(escape(sentence), highlight=False)
    largest = belief.provenance.largest_flops
    rows = []
    for budget in flops or [10 * largest, 100 * largest]:
        n, d = (float(value) for value in best_run(belief.blend(budget), budget, SixN()))
        n_draws, d_draws = belief.draws(budget).optimum(budget)
        rows.append(
            (
                f"{budget:.3g}",
                words.counted(Quantity.of(n, n_draws)),
                words.counted(Quantity.of(d, d_draws)),
                f"{d / n:.3g}",
                words.loss(Quantity(*belief.loss_band(n, d))),
            )
        )
    headers = ("C (FLOPs)", "N*", "D*", "D*/N*", "loss (nats/token)")
    console.print(_table(Section("Compute-optimal runs (C = 6ND)", headers, tuple(rows))))


def _table(section: Section) -> Table:
    table = Table(title=escape(section.title), title_justify="left", caption=escape(section.note) or None)
    table.caption_justify = "left"
    for column, header in enumerate(section.headers):
        table.add_column(header, no_wrap=column == len(section.headers) - 1)
    for row in section.rows:
        table.add_row(*(escape(cell) for cell in row))
    return table
