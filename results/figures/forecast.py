"""Did the sealed forecast hold? Each forecast with its interval beside the loss that the run then reached."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from results.figures.style import BLUE, INK, LOSS_AXIS, TARGET, axis, figure, loss_axis, safe
from results.outcome import Outcome


def forecasts_against_truth(outcomes: Sequence[Outcome]) -> go.Figure:
    """One row a forecast, oldest on top: dot and whisker, the truth as a star, the verdict in words above it."""
    drawn = figure("Forecasts against truth", height=150 + 70 * len(outcomes))
    rows = list(range(len(outcomes)))[::-1]
    forecasts = [outcome.forecast for outcome in outcomes]
    hover = [safe(outcome.sentence, limit=400).replace("; ", "<br>") for outcome in outcomes]
    drawn.add_scatter(
        x=[forecast.loss for forecast in forecasts],
        y=rows,
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [forecast.high - forecast.loss for forecast in forecasts],
            "arrayminus": [forecast.loss - forecast.low for forecast in forecasts],
            "color": BLUE,
            "thickness": 3,
            "width": 9,
        },
        mode="markers",
        marker={"color": BLUE, "size": 13},
        name="forecast, " + ", ".join(sorted({f"{forecast.level:.0%} interval" for forecast in forecasts})),
        hovertext=hover,
        hoverinfo="text",
    )
    told = [(row, outcome) for row, outcome in zip(rows, outcomes, strict=True) if outcome.truth is not None]
    drawn.add_scatter(
        x=[outcome.truth for _, outcome in told],
        y=[row for row, _ in told],
        mode="markers",
        marker=TARGET | {"size": 17, "line": {"width": 0}},
        name="truth: held-out loss reached",
        hovertext=[safe(outcome.sentence, limit=400).replace("; ", "<br>") for _, outcome in told],
        hoverinfo="text",
    )
    for row, outcome in zip(rows, outcomes, strict=True):
        said = outcome.verdict if outcome.error is None else f"{outcome.verdict}, error {outcome.error:+.1%}"
        drawn.add_annotation(
            x=(outcome.forecast.low + outcome.forecast.high) / 2,
            y=row,
            yshift=24,
            text=f"<b>{safe(said)}</b>",
            showarrow=False,
            font={"color": INK, "size": 13},
        )
    edges = [edge for f in forecasts for edge in (f.low, f.high, f.loss)]
    drawn.update_xaxes(**loss_axis([*edges, *(o.truth for _, o in told if o.truth is not None)], LOSS_AXIS, pad=0.08))
    labels = [f"{safe(forecast.run_id[:8])}<br>at {forecast.span:.3g}x C" for forecast in forecasts]
    drawn.update_yaxes(**axis("", tickvals=rows, ticktext=labels, range=[-0.6, len(rows) - 0.25], showgrid=False))
    return drawn
