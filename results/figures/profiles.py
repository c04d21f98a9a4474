"""What do the runs determine? The profile of each constant: how much worse the best fit becomes with it held."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from fitting.profile import Profile
from results.figures.style import BLUE, MUTED, VERMILLION, axis, figure

ACROSS = 2  # strips in a row
ROW, MARGINS = 190, 70  # pixels
GAP_X, GAP_Y = 0.13, 0.2
ABOVE = 2.2  # times the threshold: higher, a profile says nothing more


def profile_likelihoods(found: Sequence[Profile]) -> go.Figure:
    """One field a constant; the dashed line is the threshold of the 90% interval."""
    rows = -(-len(found) // ACROSS)
    drawn = figure("Profile likelihoods", height=MARGINS + ROW * rows)
    wide = (1 - GAP_X * (ACROSS - 1)) / ACROSS
    gap = GAP_Y / max(rows - 1, 1) * (rows > 1) if rows > 2 else GAP_Y
    tall = (1 - gap * (rows - 1)) / rows
    for place, one in enumerate(found):
        number = "" if place == 0 else str(place + 1)
        left, top = place % ACROSS * (wide + GAP_X), 1 - place // ACROSS * (tall + gap)
        ends = [float(one.values.min()), float(one.values.max())]
        drawn.add_scatter(
            x=one.values,
            y=one.ratio,
            xaxis=f"x{number}",
            yaxis=f"y{number}",
            mode="lines",
            line={
                "color": BLUE if one.identified else VERMILLION,
                "width": 2,
                "dash": "solid" if one.identified else "dash",
            },
            name="identified" if one.identified else "not identified",
            legendgroup=str(one.identified),
            showlegend=one.identified not in [before.identified for before in found[:place]],
            hovertemplate=f"{one.name} %{{x:.4g}}: %{{y:.3g}}<extra></extra>",
        )
        drawn.add_scatter(
            x=ends,
            y=[one.threshold, one.threshold],
            xaxis=f"x{number}",
            yaxis=f"y{number}",
            mode="lines",
            line={"color": MUTED, "width": 1.2, "dash": "dot"},
            name="90% threshold",
            legendgroup="threshold",
            showlegend=place == 0,
            hoverinfo="skip",
        )
        across = axis(one.name, domain=[left, left + wide], anchor=f"y{number}", nticks=5, tickformat="~g")
        up = axis("likelihood ratio", domain=[max(top - tall, 0.0), top], anchor=f"x{number}", nticks=4)
        up |= {"range": [-0.1 * one.threshold, ABOVE * one.threshold]}
        drawn.update_layout({f"xaxis{number}": across, f"yaxis{number}": up})
    return drawn
