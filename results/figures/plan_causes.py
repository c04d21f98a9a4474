"""What dominates the uncertainty? Shares of the variance of ln loss and of ln dollars, by cause."""

from __future__ import annotations

import plotly.graph_objects as go

from fitting.planner.plan import Plan
from results.figures.style import BLUE, GREEN, axis, figure

SMALLEST = 0.005  # shares that would be drawn as a line without width


def plan_causes(plan: Plan) -> go.Figure:
    """Bars, the largest on top."""
    drawn = figure("What the uncertainty comes from")
    paid = "dollars" if plan.bill.dollars is not None else "chip-hours"
    for name, causes, color in ((paid, plan.bill.causes, GREEN), ("loss", plan.causes, BLUE)):
        shown = sorted(((part, cause) for cause, part in causes.items() if part >= SMALLEST))
        if shown:
            drawn.add_bar(
                x=[part for part, _ in shown],
                y=[f"{name}: {_wrapped(cause)}" for _, cause in shown],
                name=name,
                orientation="h",
                marker={"color": color},
                text=[f"{part:.0%}" for part, _ in shown],
                textposition="auto",
                hoverinfo="skip",
            )
    drawn.update_layout(bargap=0.35 if len(plan.causes) + len(plan.bill.causes) > 2 else 0.7)
    drawn.update_xaxes(**axis("share of variance", tickformat=".0%", range=[0, 1.05]))
    drawn.update_yaxes(automargin=True, ticklabelstandoff=8)
    return drawn


def _wrapped(cause: str, width: int = 24) -> str:
    """On several lines, so that the bars keep their room on a phone."""
    lines = [""]
    for word in cause.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f"{word} "
    return "<br>".join(line.strip() for line in lines)
