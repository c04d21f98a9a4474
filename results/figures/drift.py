"""Do the constants hold still when dearer runs come in? Each against the cut, and the error on the runs above it."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from fitting.allocate import Range
from fitting.drift import Drift
from results.figures.style import BAND, BLUE, MUTED, VERMILLION, axis, band, figure, log_axis

STRIP, MARGINS = 96, 90  # pixels
GAP = 0.05
TALL = ("A", "B")  # not drawn: they move with their exponents over decades and say nothing by themselves
FURTHEST = 6.0  # times the values' own spread; wider intervals are cut off at the edge of the strip


def constants_drift(found: Drift, cut: float | None = None) -> go.Figure:
    """Strips over one axis of compute; `cut` is marked."""
    strips: list[tuple[str, Range]] = [(name, one) for name, one in found.constants.items() if name not in TALL]
    if found.n_exponent is not None:
        strips.append(("a of N* ~ C<sup>a</sup>", found.n_exponent))
    count = len(strips) + 1
    drawn = figure("Drift with the compute cut", height=MARGINS + STRIP * count)
    each = (1 - GAP * (count - 1)) / count
    for place, (name, one) in enumerate(strips):
        own = f"y{place + 1 if place else ''}"
        drawn.add_traces(band(found.flops, one.low, one.high, "90% interval", BAND, yaxis=own))
        drawn.data[-1].showlegend = place == 0
        drawn.add_scatter(
            x=found.flops,
            y=one.value,
            yaxis=own,
            mode="lines+markers",
            line={"color": BLUE, "width": 2},
            marker={"size": 6},
            showlegend=False,
            customdata=found.kept,
            hovertemplate=f"{name} %{{y:.4g}} from %{{customdata}} runs<extra></extra>",
        )
        drawn.update_layout({f"yaxis{own[1:]}": _strip(name, place, each, _window(one))})
    own = f"y{count if count > 1 else ''}"
    error = 100 * found.held_out_median
    drawn.add_scatter(
        x=found.flops,
        y=error,
        yaxis=own,
        mode="lines+markers",
        line={"color": VERMILLION, "width": 2},
        marker={"size": 6, "symbol": "diamond"},
        name="median error on the runs above",
        hovertemplate="missed by %{y:.2f}%<extra></extra>",
    )
    known = error[np.isfinite(error)]
    top = 1.2 * float(known.max()) if len(known) else 1.0
    drawn.update_layout({f"yaxis{own[1:]}": _strip("error above<br>the cut (%)", count - 1, each, (0.0, top or 1.0))})
    drawn.update_xaxes(**log_axis("runs up to this compute are fitted (FLOPs)", found.flops), anchor="free", position=0)
    if cut is not None:
        drawn.add_vline(x=cut, line={"color": MUTED, "width": 1.5, "dash": "dash"})
    return drawn


def _strip(title: str, place: int, each: float, window: tuple[float, float]) -> dict:
    top = 1 - place * (each + GAP)
    look = axis("", domain=[max(top - each, 0.0), top], range=list(window), nticks=4, tickformat="~g")
    return look | {"title": {"text": title, "font": {"size": 12}, "standoff": 6}}


def _window(one: Range) -> tuple[float, float]:
    """Around the values, with the intervals as far as they leave the values readable."""
    values = one.value[np.isfinite(one.value)]
    if not len(values):
        return 0.0, 1.0
    middle, spread = float(np.median(values)), max(float(np.ptp(values)), 0.02 * abs(float(np.median(values))), 1e-9)
    low = max(float(np.nanmin(one.low)), min(float(values.min()), middle) - FURTHEST / 2 * spread)
    high = min(float(np.nanmax(one.high)), max(float(values.max()), middle) + FURTHEST / 2 * spread)
    return low - 0.1 * (high - low), high + 0.1 * (high - low)
