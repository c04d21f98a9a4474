"""Which other runs reach the same loss? Curves of equal loss over N and D, the budget's line, the chosen run."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from fitting.planner.plan import Plan
from fitting.planner.surface import FLOPS_PER_PARAMETER_TOKEN
from fitting.show import si
from results.figures.style import BLUE, GREEN, MUTED, PAPER, TARGET, figure, log_axis, power


def plan_iso_loss(plan: Plan) -> go.Figure:
    """N across, D up; thick: the loss of the plan's frontier."""
    drawn, n, d = figure("Runs of equal loss"), plan.n_params.value, plan.d_tokens.value
    middle = len(plan.frontier.iso) // 2
    for row, iso in enumerate(plan.frontier.iso):
        drawn.add_scatter(
            x=iso.n_params,
            y=iso.d_tokens,
            mode="lines",
            name="equal loss",
            showlegend=row == middle,
            line={"color": BLUE, "width": 2.5 if row == middle else 1.2},
            hovertemplate=f"{iso.loss:.3f} nats/token: N %{{x:.3s}}, D %{{y:.3s}}<extra></extra>",
        )
        drawn.add_annotation(
            x=np.log10(iso.n_params[-1]),
            y=np.log10(iso.d_tokens[-1]),
            text=f"{iso.loss:.3f}",
            showarrow=False,
            xanchor="left",
            xshift=3,
            font={"color": BLUE, "size": 11},
        )
    sizes = plan.frontier.iso[0].n_params if plan.frontier.iso else np.asarray([n / 10, n * 10])
    budget = plan.flops.value
    drawn.add_scatter(
        x=sizes,
        y=budget / (FLOPS_PER_PARAMETER_TOKEN * sizes),
        mode="lines",
        name=f"6ND = {power(budget)}",
        line={"color": MUTED, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
    )
    inside = (plan.frontier.n_params >= sizes.min()) & (plan.frontier.n_params <= sizes.max())
    drawn.add_scatter(
        x=plan.frontier.n_params[inside],
        y=plan.frontier.d_tokens[inside],
        mode="lines",
        name="compute-optimal",
        line={"color": GREEN, "width": 2},
        hovertemplate="best: N %{x:.3s}, D %{y:.3s}<extra></extra>",
    )
    possible = [one for one in plan.smaller if one.d_tokens is not None and one.d_tokens.value < 1e3 * d]
    drawn.add_scatter(
        x=[one.n_params for one in possible],
        y=[one.d_tokens.value for one in possible if one.d_tokens is not None],
        mode="markers",
        name="smaller, same loss",
        marker={"color": PAPER, "size": 9, "line": {"color": BLUE, "width": 2}},
        hovertext=[
            f"{one.share:g} N: {si(one.n_params)} on {si(one.d_tokens.value)} tokens, {one.overhead.value:+.0%} compute"
            for one in possible
            if one.d_tokens is not None and one.overhead is not None
        ],
        hoverinfo="text",
    )
    drawn.add_scatter(
        x=[n],
        y=[d],
        mode="markers",
        name="the plan",
        marker=TARGET,
        hovertext=f"N {si(n)}, D {si(d)}",
        hoverinfo="text",
    )
    drawn.update_xaxes(**log_axis("N (parameters)", sizes, pad=0.12))
    shown = [tokens for iso in plan.frontier.iso for tokens in iso.d_tokens if tokens < 100 * d]
    drawn.update_yaxes(**log_axis("D (training tokens)", [*shown, d]))
    return drawn
