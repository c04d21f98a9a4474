"""When do runs begin to use their context? What late positions of a window gain over early ones, against compute."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from fitting.show import si
from results.context import FAR, NEAR, ContextUse
from results.figures.style import (
    MUTED,
    PAPER,
    TARGET,
    axis,
    figure,
    log_axis,
    run_hover,
    say_thinned,
    size_colors,
    thinned,
)

FLOPS_AXIS = "training FLOPs"


def context_against_compute(uses: Sequence[ContextUse]) -> go.Figure:
    """Up: 1 - loss from position 32 on / loss at positions 8..15, in percent, with 90% intervals."""
    drawn = figure("Use of context", height=400)
    say_thinned(drawn, len(uses))
    uses = [uses[row] for row in thinned(len(uses))]
    colors = size_colors(use.record.n_params_non_embedding for use in uses) if uses else {}
    for size, color in colors.items():
        mine = [use for use in uses if use.record.n_params_non_embedding == size and use.record.role != "target"]
        if mine:
            _add(drawn, mine, f"N = {si(size)}", color, {"size": 9, "line": {"color": PAPER, "width": 1}})
    if targets := [use for use in uses if use.record.role == "target"]:
        _add(drawn, targets, "target, not fitted", str(TARGET["color"]), TARGET)
    across = log_axis(FLOPS_AXIS, [use.record.flops for use in uses] or [1.0])
    ends = [10**edge for edge in across["range"]]
    zero = {"color": MUTED, "width": 1.5, "dash": "dash"}
    drawn.add_scatter(x=ends, y=[0, 0], mode="lines", line=zero, hoverinfo="skip", showlegend=False)
    drawn.update_xaxes(**across)
    drawn.update_yaxes(**axis("gain from context (%)", tickformat="~g"))
    return drawn


def _add(drawn: go.Figure, uses: Sequence[ContextUse], name: str, color: str, marker: dict) -> None:
    drawn.add_scatter(
        x=[use.record.flops for use in uses],
        y=[100 * use.gain for use in uses],
        error_y={
            "type": "data",
            "array": [164.5 * use.standard_error for use in uses],
            "color": color,
            "thickness": 1.2,
        },
        mode="markers",
        marker={"color": color, **marker},
        name=name,
        hovertext=[
            f"{run_hover(use.record)}<br>{use.near:.3f} nats/token at positions {NEAR}-{2 * NEAR - 1}, "
            f"{use.far:.3f} from {FAR} on"
            for use in uses
        ],
        hoverinfo="text",
    )
