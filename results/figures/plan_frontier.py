"""What does a larger budget buy? L*(C) with its band, the planned run on it, and the largest run behind the law."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from fitting.planner.plan import Plan
from results.figures.style import (
    BLUE,
    C_AXIS,
    MUTED,
    SHADE,
    TARGET,
    band,
    figure,
    log_axis,
    loss_axis,
)


def plan_frontier(plan: Plan) -> go.Figure:
    """Loss of the compute-optimal run against C, as a plan for each budget would say."""
    drawn, curve, largest = figure("Loss of the best run for each budget"), plan.frontier, plan.law.largest_flops
    drawn.add_traces(band(curve.flops, curve.low, curve.high, plan.law.band.split(",")[0]))
    known = curve.flops <= largest
    for keep, dash, name in ((known, "solid", "L*(C)"), (curve.flops >= largest * 0.5, "dash", "L*(C), extrapolated")):
        if keep.any():
            drawn.add_scatter(
                x=curve.flops[keep],
                y=curve.loss[keep],
                name=name,
                mode="lines",
                line={"color": BLUE, "width": 2.5, "dash": dash},
                hovertemplate="best at %{x:.3g} FLOPs: %{y:.3f} nats/token<extra></extra>",
            )
    error = {
        "type": "data",
        "symmetric": False,
        "array": [plan.loss.high - plan.loss.value],
        "arrayminus": [plan.loss.value - plan.loss.low],
        "color": TARGET["color"],
    }
    drawn.add_scatter(
        x=[plan.flops.value], y=[plan.loss.value], error_y=error, name="the plan", mode="markers", marker=TARGET
    )
    edges = [*curve.flops, plan.flops.value]
    if min(edges) < largest:
        drawn.add_vrect(x0=min(edges) / 2, x1=largest, fillcolor=SHADE, line_width=0, layer="below")
        drawn.add_annotation(
            x=np.log10(min(largest, max(edges))),
            xanchor="right",
            xshift=-4,
            y=0.01,
            yref="paper",
            yanchor="bottom",
            text="fitted",
            showarrow=False,
            font={"color": MUTED, "size": 12},
        )
    drawn.update_xaxes(**log_axis(C_AXIS, edges, pad=0.03))
    drawn.update_yaxes(**loss_axis([*curve.low, *curve.high, plan.loss.low, plan.loss.high]))
    return drawn
