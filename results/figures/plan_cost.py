"""What does a loss cost? Dollars (or chip-hours) of the compute-optimal run against its loss, with MFU and price."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from fitting.planner.plan import Plan
from results.figures.style import BAND, BLUE, TARGET, figure, log_axis, loss_axis


def plan_cost(plan: Plan) -> go.Figure:
    """Across: the bill; the band is what MFU and price leave open, the law taken at its value."""
    drawn, curve, paid = figure("What a loss costs"), plan.frontier, plan.bill
    at = paid.rates
    hours = curve.flops / at.flops_per_hour
    price = at.price or (1.0, 1.0, 1.0)
    slow, fast = at.speed.value / at.speed.low, at.speed.value / at.speed.high
    # The extremes of two independent ranges are not met together: their logarithms add in quadrature.
    up = np.exp(np.hypot(np.log(slow), np.log(price[2] / price[1])))
    down = np.exp(-np.hypot(np.log(fast), np.log(price[0] / price[1])))
    cost = hours * price[1]
    if up > 1 or down < 1:
        drawn.add_scatter(
            x=np.concatenate([cost * down, (cost * up)[::-1]]),
            y=np.concatenate([curve.loss, curve.loss[::-1]]),
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=BAND,
            name="range of MFU and price",
            hoverinfo="skip",
        )
    unit = "$" if at.price else ""
    what = "training cost (dollars)" if at.price else "chip-hours"
    drawn.add_scatter(
        x=cost,
        y=curve.loss,
        mode="lines",
        name=f"compute-optimal on {at.chip.name}",
        line={"color": BLUE, "width": 2.5},
        hovertemplate=f"{unit}%{{x:.3s}}: %{{y:.3f}} nats/token<extra></extra>",
    )
    total = paid.dollars if paid.dollars is not None else paid.chip_hours
    known = np.isfinite(total.high)
    error = {
        "type": "data",
        "symmetric": False,
        "array": [total.high - total.value if known else 0.0],
        "arrayminus": [total.value - total.low],
        "color": TARGET["color"],
    }
    drawn.add_scatter(
        x=[total.value], y=[plan.loss.value], error_x=error, mode="markers", name="the plan", marker=TARGET
    )
    shown = [*(cost * down), *(cost * up), total.low, *([total.high] if known else [])]
    small = {"tickformat": "~g"} if max(shown) < 1e3 else {}  # 10m is no way to write a cent
    drawn.update_xaxes(**log_axis(what, shown, pad=0.03, tickprefix=unit, **small))
    drawn.update_yaxes(**loss_axis([*curve.loss, plan.loss.value]))
    return drawn
