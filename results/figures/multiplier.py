"""How much more compute does B need for the loss of A? The multiplier over compute, with its band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from fitting.allocate import Allocation
from fitting.compare import Multiplier
from results.figures.style import (
    BAND,
    BLUE,
    C_AXIS,
    MUTED,
    ORANGE_BAND,
    PAPER,
    VERMILLION,
    axis,
    band,
    figure,
    log_axis,
    loss_axis,
    run_hover,
    safe,
    thinned,
)
from results.record import RunRecord


def compute_multiplier(found: Multiplier, a: str, b: str) -> go.Figure:
    """Above 1, B needs more compute than A for the same loss."""
    drawn = figure("Compute multiplier")
    keep = found.reachable
    drawn.add_traces(band(found.flops[keep], found.low[keep], found.high[keep], f"{found.level:.0%} interval", BAND))
    for beyond, dash, name in ((False, "solid", "multiplier"), (True, "dash", "multiplier, extrapolated")):
        here = keep & (found.extrapolated == beyond)
        drawn.add_scatter(
            x=found.flops,
            y=np.where(here, found.value, np.nan),  # a gap where the other one is drawn
            connectgaps=False,
            mode="lines",
            line={"color": BLUE, "width": 2.5, "dash": dash},
            name=name,
            hovertemplate="%{y:.3g} times the compute, at %{x:.3g} FLOPs of A<extra></extra>",
        )
    ends = [found.flops.min(), found.flops.max()]
    equal = {"color": MUTED, "width": 1.5, "dash": "dot"}
    drawn.add_scatter(x=ends, y=[1, 1], mode="lines", line=equal, name="equal", hoverinfo="skip")
    shown = np.concatenate([found.low[keep], found.high[keep], [1.0]])
    drawn.update_xaxes(**log_axis(f"C of A: {safe(a, limit=30)} (FLOPs)", found.flops, pad=0.02))
    drawn.update_yaxes(**log_axis("compute of B / compute of A", np.clip(shown, 1e-3, 1e3), tickformat="~g"))
    return drawn


def both_frontiers(
    sides: Sequence[tuple[str, Sequence[RunRecord], Allocation | None]],
) -> go.Figure:
    """Name, runs, and the law's optimum over budgets, of A and B."""
    drawn = figure("Both frontiers")
    flops, losses = [], []
    for (name, records, best), color, fill, symbol in zip(
        sides, (BLUE, VERMILLION), (BAND, ORANGE_BAND), ("circle", "diamond"), strict=True
    ):
        shown = [record for record in records if record.loss is not None]
        shown = [shown[row] for row in thinned(len(shown))]
        if best is not None:
            edges = band(best.flops, best.loss.low, best.loss.high, f"{safe(name, limit=30)}: interval", fill)
            drawn.add_traces([edge.update(showlegend=False) for edge in edges])
            drawn.add_scatter(
                x=best.flops,
                y=best.loss.value,
                mode="lines",
                line={"color": color, "width": 2.5},
                name=f"L*(C) of {safe(name, limit=30)}",
                hovertemplate="%{y:.3f} nats/token at %{x:.3g} FLOPs<extra></extra>",
            )
        drawn.add_scatter(
            x=[record.flops_6nd for record in shown],
            y=[record.loss for record in shown],
            mode="markers",
            marker={"color": color, "symbol": symbol, "size": 8, "line": {"color": PAPER, "width": 1}},
            name=f"runs of {safe(name, limit=30)}",
            hovertext=[run_hover(record) for record in shown],
            hoverinfo="text",
        )
        flops += [record.flops_6nd for record in shown]
        losses += [record.loss for record in shown if record.loss is not None]
    drawn.update_xaxes(**(log_axis(C_AXIS, flops) if flops else axis(C_AXIS)))
    drawn.update_yaxes(**loss_axis(losses))
    return drawn
