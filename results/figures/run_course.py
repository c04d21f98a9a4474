"""What did one run do to its machine and to its parameters? Speed, MFU, gradient norm and rate along the tokens."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from results.figures.style import BLUE, axis, figure, log_axis
from results.record import RunRecord

ROWS = (  # column, title; those that hold nothing are left out
    ("loss", "training loss<br>(nats/token)"),
    ("tokens_per_second", "speed<br>(tokens/s)"),
    ("mfu", "MFU"),
    ("gradient_norm", "gradient norm<br>(before clipping)"),
    ("learning_rate", "learning rate"),
)
ROW_HEIGHT, MARGINS = 105, 80  # pixels
MOST_POINTS = 400


def run_course(record: RunRecord, curve: Mapping[str, np.ndarray]) -> go.Figure:
    """One strip a quantity, over one axis of tokens."""
    tokens = curve["tokens"]
    shown = [(name, title) for name, title in ROWS if name in curve and np.isfinite(curve[name]).any()]
    drawn = figure("Course of the run", height=MARGINS + ROW_HEIGHT * max(len(shown), 1))
    rows = np.unique(np.linspace(0, len(tokens) - 1, MOST_POINTS).astype(int)) if len(tokens) else []
    gap = 0.05
    each = (1 - gap * (len(shown) - 1)) / max(len(shown), 1)
    for place, (name, title) in enumerate(shown):
        number = "" if place == 0 else str(place + 1)
        top = 1 - place * (each + gap)
        values = curve[name][rows]
        drawn.add_scatter(
            x=tokens[rows],
            y=values,
            yaxis=f"y{number}",
            mode="lines",
            line={"color": BLUE, "width": 1.6},
            name=title.replace("<br>", " "),
            hovertemplate="%{y:.4~g} after %{x:.3s} tokens<extra></extra>",
            showlegend=False,
        )
        kept = values[np.isfinite(values)]
        look = axis(title, domain=[max(top - each, 0.0), top], nticks=4, tickformat=".2~s")
        if name in ("mfu", "tokens_per_second"):
            look["range"] = [0, 1.15 * kept.max() or 1.0]
        if name == "mfu":
            look["tickformat"] = ".0%"
        if name == "learning_rate":
            look |= {"tickformat": ".1e"}
        look["title"] = {"text": title, "font": {"size": 11}, "standoff": 6}
        drawn.update_layout({f"yaxis{number}": look})
    drawn.update_xaxes(**log_axis("training tokens seen", tokens, pad=0.02), anchor="free", position=0)
    return drawn
