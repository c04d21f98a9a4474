"""Do sealed intervals hold as often as they say? Nominal coverage against observed, by law, with its own interval."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from scipy.stats import beta

from results.figures.style import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, SKY, VERMILLION, axis, figure, safe
from results.outcome import Outcome
from results.scores import laws_of, told_of

COLORS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK)
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star")
SHIFT = 1.2  # percent between laws, so that their bars do not hide each other


def calibration(outcomes: Sequence[Outcome]) -> go.Figure:
    """Of forecasts that were sealed before their run and whose run has ended. Bars: 90% Jeffreys intervals of the
    observed share (Brown, Cai and DasGupta 2001), as if forecasts missed independently, which those of one law do not.
    """
    drawn = figure("Calibration", height=400)
    told = told_of(outcomes)
    drawn.add_scatter(
        x=[0, 100],
        y=[0, 100],
        mode="lines",
        line={"color": MUTED, "width": 1.5, "dash": "dash"},
        name="as often as it says",
        hoverinfo="skip",
    )
    laws = laws_of(told)
    for place, law in enumerate(laws):
        x, y, low, high, says = [], [], [], [], []
        mine = [outcome for outcome in told if outcome.forecast.law == law]
        for level, held in _levels(mine):
            hits, count = sum(held), len(held)
            edges = 100 * beta.ppf([0.05, 0.95], hits + 0.5, count - hits + 0.5)
            share = 100 * hits / count
            x.append(100 * level + SHIFT * (place - (len(laws) - 1) / 2))
            y.append(share)
            low.append(share - min(edges[0], share))
            high.append(max(edges[1], share) - share)
            says.append(f"{safe(law)}: {hits} of {count} inside the {level:.0%} interval")
        color = COLORS[place % len(COLORS)]
        drawn.add_scatter(
            x=x,
            y=y,
            mode="markers",
            marker={"color": color, "size": 10, "symbol": SYMBOLS[place % len(SYMBOLS)]},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": high,
                "arrayminus": low,
                "color": color,
                "thickness": 1.5,
            },
            name=safe(law, limit=30),
            hovertext=says,
            hoverinfo="text",
        )
    drawn.update_xaxes(**axis("level of the sealed interval (%)", range=[0, 104], tickvals=[0, 25, 50, 75, 90, 100]))
    drawn.update_yaxes(**axis("truths inside (%)", range=[-4, 104], tickvals=[0, 25, 50, 75, 90, 100]))
    return drawn


def _levels(outcomes: Sequence[Outcome]) -> list[tuple[float, list[bool]]]:
    """Level, and whether each forecast held at it."""
    found: dict[float, list[bool]] = {}
    for outcome in outcomes:
        if outcome.inside50 is not None:
            found.setdefault(0.5, []).append(outcome.inside50)
        if outcome.inside is not None:
            found.setdefault(outcome.forecast.level, []).append(outcome.inside)
    return sorted(found.items())
