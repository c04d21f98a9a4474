"""How far off were sealed forecasts, and did they know? Error against span, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from results.figures.calibration import COLORS, SYMBOLS
from results.figures.style import MUTED, axis, figure, log_axis, safe
from results.outcome import Outcome
from results.scores import laws_of, told_of

APART = 0.018  # decades between the laws of one forecast
MOST_ERROR = 60.0  # percent; a law that ran off would press the others flat


def forecast_errors(outcomes: Sequence[Outcome]) -> go.Figure:
    """Up: truth / forecast - 1 in percent. A bar that crosses zero held; without a truth there is no point."""
    drawn = figure("Error against span", height=420)
    told = told_of(outcomes)
    laws = laws_of(told)
    spans = [outcome.forecast.span for outcome in told]
    edges: list[float] = []
    for place, law in enumerate(laws):
        x, y, up, down, says = [], [], [], [], []
        for outcome in (one for one in told if one.forecast.law == law and one.truth is not None):
            sealed, truth = outcome.forecast, outcome.truth
            assert truth is not None
            error = 100 * (sealed.loss / truth - 1)
            x.append(sealed.span * 10 ** (APART * (place - (len(laws) - 1) / 2)))
            y.append(error)
            up.append(100 * (sealed.high - sealed.loss) / truth)
            down.append(100 * (sealed.loss - sealed.low) / truth)
            says.append(safe(outcome.sentence, limit=400).replace("; ", "<br>"))
            edges += [error + up[-1], error - down[-1]]
        color = COLORS[place % len(COLORS)]
        drawn.add_scatter(
            x=x,
            y=y,
            mode="markers",
            marker={"color": color, "size": 9, "symbol": SYMBOLS[place % len(SYMBOLS)]},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": up,
                "arrayminus": down,
                "color": color,
                "thickness": 1.3,
            },
            name=safe(law, limit=30),
            hovertext=says,
            hoverinfo="text",
            visible=True if place < 3 else "legendonly",  # all laws at once are a thicket
        )
    across = log_axis(
        "target compute / dearest fitted compute", spans or [1.0, 100.0], pad=0.12, tickformat="~g", ticksuffix="x"
    )
    zero = {"color": MUTED, "width": 1.5, "dash": "dash"}
    ends = [10**edge for edge in across["range"]]
    drawn.add_scatter(x=ends, y=[0, 0], mode="lines", line=zero, name="as sealed", showlegend=False, hoverinfo="skip")
    room = min(1.08 * max([1.0, *np.abs(edges)]), MOST_ERROR)
    drawn.update_xaxes(**across)
    drawn.update_yaxes(**axis("forecast / truth - 1 (%)", range=[-room, room], tickformat="~g"))
    return drawn
