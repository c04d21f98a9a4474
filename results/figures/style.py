"""How do all figures look? One palette that colour-blind people can read, one font, axes that carry their unit.

Figures are drawn for a light ground. Every colour in them is one of this file, so that DARK, which gives each its
counterpart, makes a dark figure of a light one by plain replacement (results/assets/figures.js does it in the browser).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from fitting.show import si
from results.record import RunRecord

# plotly 7 puts an upload button into every figure unless told not to.
CONFIG = {"displaylogo": False, "showSendToCloud": False, "responsive": True}

# Okabe & Ito 2008: distinct for all common kinds of colour blindness.
BLUE, VERMILLION, GREEN, SKY, PURPLE, ORANGE = "#0072B2", "#D55E00", "#009E73", "#56B4E9", "#AA4499", "#C98A00"
INK, MUTED, GRID, PAPER = "#1f2933", "#5b6875", "#e4e8ee", "#ffffff"
BAND = "rgba(0, 114, 178, 0.16)"
GREEN_BAND = "rgba(0, 158, 115, 0.16)"
ORANGE_BAND = "rgba(213, 94, 0, 0.16)"
SHADE = "rgba(31, 41, 51, 0.06)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
TARGET = {"symbol": "star", "size": 15, "color": VERMILLION, "line": {"color": PAPER, "width": 1}}
# The yellow end of viridis cannot be read on white, the violet one not on black.
SHADES = 64
MOST_MARKS = 1500  # of one figure
_POSITIONS = [shade / (SHADES - 1) for shade in range(SHADES)]
SCALE = sample_colorscale("Viridis", [0.86 * position for position in _POSITIONS])
DARK_SCALE = sample_colorscale("Viridis", [0.28 + 0.72 * position for position in _POSITIONS])
COLORSCALE = [[position, color] for position, color in zip(_POSITIONS, SCALE, strict=True)]
DARK = {
    BLUE: "#62b5f0",
    VERMILLION: "#ff8c42",
    GREEN: "#35c99b",
    SKY: "#8fd0f7",
    PURPLE: "#dd8fd0",
    ORANGE: "#eebc4d",
    INK: "#e6eaef",
    MUTED: "#a3aebb",
    GRID: "#2d3742",
    PAPER: "#1b222b",
    BAND: "rgba(98, 181, 240, 0.2)",
    GREEN_BAND: "rgba(53, 201, 155, 0.2)",
    ORANGE_BAND: "rgba(255, 140, 66, 0.2)",
    SHADE: "rgba(230, 234, 239, 0.07)",
    **dict(zip(SCALE, DARK_SCALE, strict=True)),
}

N_AXIS = "N (non-embedding parameters)"
D_AXIS = "D (training tokens)"
C_AXIS = "C = 6ND (training FLOPs)"
LOSS_AXIS = "loss (nats/token)"


def figure(title: str, height: int = 420) -> go.Figure:
    """An empty figure in the shared look; the page around it shows the title, which names its downloads too."""
    drawn = go.Figure()
    drawn.update_layout(
        template="none",
        meta={"title": title},
        height=height,
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        font={"family": FONT, "size": 13, "color": INK},
        margin={"l": 62, "r": 18, "t": 12, "b": 54},
        hoverlabel={"bgcolor": PAPER, "bordercolor": MUTED, "font": {"family": FONT, "color": INK}, "align": "left"},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 12},
            "itemsizing": "constant",
        },
        showlegend=True,
    )
    return drawn


def axis(title: str, **more: Any) -> dict[str, Any]:
    """A linear axis with a light grid."""
    look = {"gridcolor": GRID, "linecolor": MUTED, "showline": True, "zeroline": False, "ticks": "outside"}
    return {
        **look,
        "ticklen": 4,
        "tickcolor": MUTED,
        "title": {"text": title, "standoff": 8},
        "automargin": True,
        **more,
    }


def log_axis(title: str, values: Iterable[float], pad: float = 0.06, **more: Any) -> dict[str, Any]:
    """A logarithmic axis around the finite positive values: 100k, 1M, 1B for counts, powers of ten for FLOPs."""
    kept = _logs(values)
    low, high = (kept.min(), kept.max()) if len(kept) else (0.0, 1.0)
    room = max(high - low, 0.3) * pad
    # Powers of ten only read well with one label a decade; shorter axes get 1, 2, 5 with a prefix.
    decades = high - low
    step: dict[str, Any] = (
        {"dtick": max(1, int(np.ceil(decades / 6)))} if decades > 2 else {"dtick": "D2" if decades > 0.55 else "D1"}
    )
    step["minor"] = {"ticks": "outside", "ticklen": 2, "tickcolor": MUTED, "dtick": "D1"} if decades < 5 else {}
    labels: dict[str, Any] = {"tickformat": "~s"}
    if decades <= 2 and "FLOP" in title:
        labels = _powers(low - room, high + room, (1, 2, 5) if decades < 1.3 else (1, 3))
        step.pop("dtick")
    elif decades > 2 and ("FLOP" in title or high > 9):
        labels = {"exponentformat": "power" if "FLOP" in title else "B"}  # the field says 70B, not 70G
    return axis(title, type="log", range=[low - room, high + room], **{**labels, **step, **more})


def loss_axis(values: Iterable[float], title: str = LOSS_AXIS, pad: float = 0.06, **more: Any) -> dict[str, Any]:
    """A linear axis around the finite losses."""
    kept = np.asarray([value for value in values if np.isfinite(value)], float)
    low, high = (kept.min(), kept.max()) if len(kept) else (0.0, 1.0)
    room = max(high - low, 0.02 * max(abs(high), 1e-9)) * pad
    return axis(title, range=[low - room, high + room], tickformat="~g", **more)


def size_colors(sizes: Iterable[float]) -> dict[float, str]:
    """One colour a size, dark to light with growing N."""
    ordered = sorted(set(sizes))
    if len(ordered) == 1:
        return {ordered[0]: BLUE}
    shades = np.linspace(0, SHADES - 1, len(ordered)).round().astype(int)
    return {size: SCALE[shade] for size, shade in zip(ordered, shades.tolist(), strict=True)}


def band(
    x: np.ndarray, low: np.ndarray, high: np.ndarray, name: str, color: str = BAND, **more: Any
) -> tuple[go.Scatter, go.Scatter]:
    """Two traces: an unseen lower edge and the filled area above it, where both are finite."""
    keep = np.isfinite(low) & np.isfinite(high)
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "legendgroup": name, **more}
    lower = go.Scatter(x=x[keep], y=low[keep], showlegend=False, **edge)
    return lower, go.Scatter(x=x[keep], y=high[keep], name=name, fill="tonexty", fillcolor=color, **edge)


def thinned(count: int) -> np.ndarray:
    """Which of so many points are drawn, evenly spread: a browser bears MOST_MARKS, a fit sees all."""
    if count <= MOST_MARKS:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, MOST_MARKS).round().astype(int))


def say_thinned(drawn: go.Figure, count: int) -> None:
    """In the figure itself: what is not drawn must not seem not to be there."""
    if count > MOST_MARKS:
        drawn.add_annotation(
            x=1,
            y=0.01,
            xref="paper",
            yref="paper",
            xanchor="right",
            yanchor="bottom",
            text=f"{MOST_MARKS:,} of {count:,} points drawn",
            showarrow=False,
            font={"color": MUTED, "size": 11},
        )


def power(value: float) -> str:
    """1.2e11 as 1.2 x 10^11, for legends."""
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits} \u00d7 10<sup>{int(exponent)}</sup>"


def safe(text: object, limit: int = 120) -> str:
    """Plotly reads tags in labels: names from a store are shown as they are written, never interpreted."""
    plain = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text))
    return html.escape(plain if len(plain) <= limit else plain[: limit - 1] + "…", quote=False)


def run_hover(record: RunRecord) -> str:
    """What a run says when pointed at."""
    loss = "no loss" if record.loss is None else f"loss {record.loss:.4f} nats/token"
    if record.loss is not None and record.loss_se is not None:
        loss += f" ± {record.loss_se:.4f}"
    return "<br>".join(
        [
            f"<b>{safe(record.run_id[:16])}</b> {safe(record.role)}",
            f"N {si(record.n_params_non_embedding)}, D {si(record.d_tokens)} tokens",
            f"6ND {record.flops_6nd:.3g}, exact {record.flops:.3g} FLOPs",
            loss,
        ]
    )


def run_markers(records: Sequence[RunRecord], x: Sequence[float], name: str, **more: Any) -> go.Scatter:
    """Runs as points (x, loss) that explain themselves."""
    losses, hover = [record.loss for record in records], [run_hover(record) for record in records]
    return go.Scatter(x=list(x), y=losses, name=name, mode="markers", hovertext=hover, hoverinfo="text", **more)


def _powers(low: float, high: float, digits: Sequence[int]) -> dict[str, Any]:
    """Labels such as 2 x 10^11 between two exponents of ten: 200G is no way to write FLOPs."""
    exponents = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    marked = [(digit, exponent) for exponent in exponents for digit in digits]
    inside = [(digit, exponent) for digit, exponent in marked if low <= np.log10(digit) + exponent <= high]
    texts = [
        f"{digit} \u00d7 10<sup>{exponent}</sup>" if digit > 1 else f"10<sup>{exponent}</sup>"
        for digit, exponent in inside
    ]
    return {"tickvals": [digit * 10.0**exponent for digit, exponent in inside], "ticktext": texts}


def _logs(values: Iterable[float]) -> np.ndarray:
    array = np.asarray([value for value in values if value is not None], float)
    return np.log10(array[np.isfinite(array) & (array > 0)])
