"""Which constants trade against each other? The optima of the resampled runs, two constants at a time."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from fitting.fit import Fit
from results.figures.style import BLUE, TARGET, axis, figure

SHOWN = 1500  # of the resamples
CORE = (0.005, 0.995)  # quantiles that are drawn; a few wild resamples would press the others into a point
WIDE = 30.0  # ratio of the quantiles from which an axis is logarithmic


def bootstrap_cloud(fit: Fit, across: str, up: str) -> go.Figure:
    """`across` and `up` are names of constants of the law."""
    drawn = figure("Bootstrap cloud", height=400)
    draws, constants = fit.constant_draws(), fit.constants
    x, y = np.asarray(draws[across], float), np.asarray(draws[up], float)
    (x_low, x_high), (y_low, y_high) = _core(x), _core(y)
    keep = np.flatnonzero((x >= x_low) & (x <= x_high) & (y >= y_low) & (y <= y_high))[:SHOWN]
    drawn.add_scatter(
        x=x[keep],
        y=y[keep],
        mode="markers",
        marker={"color": BLUE, "size": 4, "opacity": 0.35},
        name=f"{len(fit.draws):,} resamples of {fit.resampled}",
        hovertemplate=f"{across} %{{x:.4g}}, {up} %{{y:.4g}}<extra></extra>",
    )
    drawn.add_scatter(
        x=[constants[across]],
        y=[constants[up]],
        mode="markers",
        marker=TARGET,
        name="the fit",
        hovertemplate=f"{across} %{{x:.4g}}, {up} %{{y:.4g}}<extra></extra>",
    )
    drawn.update_xaxes(**_axis(across, x_low, x_high))
    drawn.update_yaxes(**_axis(up, y_low, y_high))
    return drawn


def _core(values: np.ndarray) -> tuple[float, float]:
    kept = values[np.isfinite(values)]
    return (float(np.quantile(kept, CORE[0])), float(np.quantile(kept, CORE[1]))) if len(kept) else (0.0, 1.0)


def _axis(name: str, low: float, high: float) -> dict:
    title = f"{name} (nats/token)" if name == "E" else name
    if low > 0 and high / low > WIDE:
        # 0.02 and not 20m
        return axis(title, type="log", tickformat="~s" if low >= 1 else "~g", nticks=6)
    return axis(title, tickformat="~g", nticks=6)
