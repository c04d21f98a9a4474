"""Where does the law miss? Predicted against measured loss, and the error of each run against N, D and C."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from fitting.fit import Fit
from fitting.show import si
from results.figures.style import (
    C_AXIS,
    D_AXIS,
    MUTED,
    N_AXIS,
    PAPER,
    SHADE,
    TARGET,
    VERMILLION,
    axis,
    figure,
    log_axis,
    loss_axis,
    safe,
    say_thinned,
    size_colors,
    thinned,
)
from results.outcome import Outcome


def predicted_against_measured(fit: Fit, outcomes: Sequence[Outcome] = ()) -> go.Figure:
    """Points on the line are predicted exactly; sealed forecasts carry their interval."""
    drawn = figure("Predicted against measured", height=400)
    measured, predicted = fit.points.loss, fit.points.loss * np.exp(fit.residuals)
    told = [outcome for outcome in outcomes if outcome.truth is not None]
    edges = [edge for o in told for edge in (o.forecast.low, o.forecast.high, o.truth) if edge is not None]
    everything = [*measured, *predicted, *edges]
    low, high = min(everything), max(everything)
    drawn.add_scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        line={"color": MUTED, "width": 1.5, "dash": "dash"},
        name="predicted = measured",
        hoverinfo="skip",
    )
    _add_sizes(drawn, fit, measured, predicted)
    if told:
        drawn.add_scatter(
            x=[outcome.truth for outcome in told],
            y=[outcome.forecast.loss for outcome in told],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [outcome.forecast.high - outcome.forecast.loss for outcome in told],
                "arrayminus": [outcome.forecast.loss - outcome.forecast.low for outcome in told],
                "color": VERMILLION,
                "thickness": 1.8,
            },
            mode="markers",
            marker=TARGET | {"line": {"width": 0}},
            name="sealed forecast",
            hovertext=[safe(outcome.sentence, limit=400).replace("; ", "<br>") for outcome in told],
            hoverinfo="text",
        )
    drawn.update_xaxes(**loss_axis(everything, "measured loss (nats/token)"))
    drawn.update_yaxes(**loss_axis(everything, "predicted loss (nats/token)"))
    return drawn


SYMBOLS = {"n_params": "N", "d_tokens": "D", "flops": "C"}


def residuals_against(fit: Fit, quantity: str) -> go.Figure:
    """Error of the law in % (predicted / measured - 1) against "n_params", "d_tokens" or "flops" (6ND)."""
    points = fit.points
    columns = {
        "n_params": (points.n_params, N_AXIS),
        "d_tokens": (points.d_tokens, D_AXIS),
        "flops": (points.flops_6nd, C_AXIS),
    }
    values, title = columns[quantity]
    errors = 100 * np.expm1(fit.residuals)
    drawn = figure(f"Error of the law against {SYMBOLS[quantity]}", height=400)
    noise = 100 * fit.noise
    drawn.add_hrect(y0=-noise, y1=noise, fillcolor=SHADE, line_width=0, layer="below")
    across = log_axis(title, values)
    zero = {"color": MUTED, "width": 1.5, "dash": "dash"}
    # A trace, not a shape: shapes lie over the points or under the grid, and "between" fails in plotly.js 4.1.
    drawn.add_scatter(x=[10**edge for edge in across["range"]], y=[0, 0], mode="lines", line=zero, hoverinfo="skip")
    _add_sizes(drawn, fit, values, errors, unit="%")
    room = 1.15 * max(np.abs(errors).max(), noise)
    drawn.update_xaxes(**across)
    drawn.update_yaxes(**axis("predicted / measured - 1 (%)", range=[-room, room], tickformat="~g"))
    drawn.update_layout(showlegend=False)
    return drawn


def _add_sizes(drawn: go.Figure, fit: Fit, x: np.ndarray, y: np.ndarray, unit: str = "") -> None:
    """The fitted points, one trace a size."""
    points, shown = fit.points, thinned(len(fit.points))
    for size, color in size_colors(points.n_params.tolist()).items():
        rows = shown[points.n_params[shown] == size]
        drawn.add_scatter(
            x=x[rows],
            y=y[rows],
            mode="markers",
            marker={"color": color, "size": 9, "line": {"color": PAPER, "width": 1}},
            name=f"N = {si(size)}",
            hovertext=[
                f"<b>{safe(points.cluster[row][:16])}</b><br>N {si(size)}, D {si(points.d_tokens[row])} tokens"
                f"<br>measured {points.loss[row]:.4f} nats/token<br>error {100 * np.expm1(fit.residuals[row]):+.2f}%"
                for row in rows
            ],
            hoverinfo="text",
        )
    say_thinned(drawn, len(points))
