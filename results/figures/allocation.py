"""How should a larger budget be spent? N* or D* against C, with the fitted range told apart from extrapolation."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from fitting.allocate import Allocation
from fitting.show import si
from results.figures.style import (
    BAND,
    BLUE,
    C_AXIS,
    D_AXIS,
    GREEN,
    GREEN_BAND,
    MUTED,
    N_AXIS,
    PAPER,
    SHADE,
    band,
    figure,
    log_axis,
)


def allocation_against_compute(
    best: Allocation, quantity: str, fitted: tuple[float, float], marked: tuple[float, ...] = ()
) -> go.Figure:
    """`quantity` is "n_params" or "d_tokens"; `fitted` the range of 6ND of the runs; `marked` budgets get a label."""
    symbol, title, color, fill, values = {
        "n_params": ("N*", N_AXIS, BLUE, BAND, best.n_params),
        "d_tokens": ("D*", D_AXIS, GREEN, GREEN_BAND, best.d_tokens),
    }[quantity]
    drawn = figure(f"{symbol} of the best run for each budget")
    drawn.add_vrect(x0=fitted[0], x1=fitted[1], fillcolor=SHADE, line_width=0, layer="below")
    drawn.add_traces(band(best.flops, values.low, values.high, f"{best.level:.0%} interval", fill))
    for inside, dash, name in ((True, "solid", symbol), (False, "dash", f"{symbol}, extrapolated")):
        keep = best.flops <= fitted[1] * 1.0001 if inside else best.flops >= fitted[1] * 0.9999
        drawn.add_scatter(
            x=best.flops[keep],
            y=values.value[keep],
            name=name,
            mode="lines",
            line={"color": color, "width": 2.5, "dash": dash},
            hovertemplate=f"{symbol} at %{{x:.3g}} FLOPs: %{{y:.3s}}<extra></extra>",
        )
    for budget in marked:
        row = int(np.argmin(np.abs(np.log(best.flops / budget))))
        said = f"{symbol} = {si(values.value[row])} ({si(values.low[row])} .. {si(values.high[row])})"
        drawn.add_scatter(
            x=[best.flops[row]],
            y=[values.value[row]],
            mode="markers+text",
            marker={"color": color, "size": 10, "line": {"color": PAPER, "width": 1}},
            text=[f"<b>{si(values.value[row])}</b>"],
            textposition="top left",
            hovertext=[f"{budget / fitted[1]:.3g}x the dearest run: {said}"],
            hoverinfo="text",
            showlegend=False,
        )
    drawn.update_xaxes(**log_axis(C_AXIS, best.flops, pad=0.02))
    finite = [*values.low[np.isfinite(values.low)], *values.high[np.isfinite(values.high)]]
    drawn.update_yaxes(**log_axis(title, finite))
    for x, text, anchor in ((fitted[0], "fitted runs", "left"), (fitted[1], "extrapolation", "left")):
        drawn.add_annotation(
            x=np.log10(x),
            xanchor=anchor,
            xshift=4,
            y=0.01,
            yref="paper",
            yanchor="bottom",
            text=text,
            showarrow=False,
            font={"color": MUTED, "size": 12},
        )
    return drawn
