"""Which runs does nothing of less compute beat? The lower envelope of loss against compute, and the N on it."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from fitting.envelope import Envelope
from fitting.points import Points
from fitting.show import si
from results.figures.style import (
    BLUE,
    INK,
    PAPER,
    axis,
    figure,
    log_axis,
    loss_axis,
    safe,
    say_thinned,
    size_colors,
    thinned,
)


def envelope_of_runs(points: Points, found: Envelope | None) -> go.Figure:
    """Loss against the points' own FLOPs; None draws the runs without an envelope."""
    drawn = figure("Envelope (approach 1)")
    shown = thinned(len(points))
    say_thinned(drawn, len(points))
    for size, color in size_colors(points.n_params.tolist()).items():
        rows = shown[points.n_params[shown] == size]
        rows = rows[np.argsort(points.flops[rows])]
        drawn.add_scatter(
            x=points.flops[rows],
            y=points.loss[rows],
            mode="markers",
            marker={"color": color, "size": 8, "line": {"color": PAPER, "width": 1}},
            name=f"N = {si(size)}",
            hovertext=[
                f"<b>{safe(points.cluster[row][:16])}</b><br>N {si(size)}, D {si(points.d_tokens[row])} tokens"
                f"<br>{points.flops[row]:.3g} FLOPs, {points.loss[row]:.4f} nats/token"
                for row in rows
            ],
            hoverinfo="text",
        )
    if found is not None:
        drawn.add_scatter(
            x=found.flops,
            y=found.loss,
            mode="lines",
            line={"color": BLUE, "width": 2, "shape": "hv"},
            name="envelope",
            hoverinfo="skip",
        )
        at = found.bracketed
        drawn.add_scatter(
            x=found.flops[at],
            y=found.loss[at],
            mode="markers",
            marker={"symbol": "circle-open", "size": 15, "color": INK, "line": {"width": 1.5}},
            name="bracketed",
            hovertext=[
                f"N {si(n)} at {flops:.3g} FLOPs" for n, flops in zip(found.n_params[at], found.flops[at], strict=True)
            ],
            hoverinfo="text",
        )
    title = (
        "C (training FLOPs, exact)"
        if "exact" in points.flops_definition
        else f"C (training FLOPs, {points.flops_definition})"
    )
    drawn.update_xaxes(**(log_axis(title, points.flops) if len(points) else axis(title)))
    drawn.update_yaxes(**loss_axis(points.loss))
    return drawn
