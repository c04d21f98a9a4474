"""What does the law say over N and D? Lines of equal loss, of equal compute, the best run for each, and the runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from fitting.allocate import has_closed_form, optimum
from fitting.fit import Fit
from fitting.planner.surface import FLOPS_PER_PARAMETER_TOKEN
from fitting.predict import predict
from results.figures.style import (
    COLORSCALE,
    D_AXIS,
    INK,
    MUTED,
    N_AXIS,
    PAPER,
    TARGET,
    VERMILLION,
    figure,
    log_axis,
    power,
    run_markers,
    say_thinned,
    thinned,
)
from results.record import RunRecord

CELLS = 60  # of the grid, each way
LEVELS = 14
BEYOND = 0.45  # decades around the runs
BUDGETS = 4  # lines of equal compute


def loss_surface(records: Sequence[RunRecord], fit: Fit) -> go.Figure:
    """Contours are the law's losses, points the runs with the loss that they reached."""
    drawn = figure("Loss surface", height=460)
    shown = [record for record in records if record.loss is not None]
    sizes = np.asarray([*fit.points.n_params, *(record.n_params_non_embedding for record in shown)])
    horizons = np.asarray([*fit.points.d_tokens, *(record.d_tokens for record in shown)])
    n, d = _grid(sizes), _grid(horizons)
    at_n, at_d = np.meshgrid(n, d)
    loss = predict(fit, at_n.ravel(), at_d.ravel()).loss.reshape(at_n.shape)
    drawn.add_contour(
        x=n,
        y=d,
        z=loss,
        colorscale=COLORSCALE,
        reversescale=True,
        contours={"coloring": "lines", "showlabels": True, "labelfont": {"size": 11, "color": MUTED}, **_levels(loss)},
        line={"width": 1.4},
        showscale=False,
        name="loss of the law (nats/token)",
        showlegend=True,
        hovertemplate="N %{x:.3s}, D %{y:.3s}: %{z:.3f} nats/token<extra></extra>",
    )
    budgets = np.geomspace(float(fit.points.flops_6nd.min()), float(fit.points.flops_6nd.max()), BUDGETS)
    for budget in budgets:
        along = budget / (FLOPS_PER_PARAMETER_TOKEN * n)
        inside = (along >= d[0]) & (along <= d[-1])
        drawn.add_scatter(
            x=n[inside],
            y=along[inside],
            mode="lines",
            line={"color": MUTED, "width": 1, "dash": "dot"},
            name="equal compute",
            legendgroup="compute",
            showlegend=bool(budget == budgets[0]),
            hovertemplate=f"{power(budget)} FLOPs<extra></extra>",
        )
    if has_closed_form(fit):
        reach = np.geomspace(6 * n[0] * d[0], 6 * n[-1] * d[-1], CELLS)
        best_n, best_d = optimum(fit.constants, reach)
        inside = (best_n >= n[0]) & (best_n <= n[-1]) & (best_d >= d[0]) & (best_d <= d[-1])
        drawn.add_scatter(
            x=best_n[inside],
            y=best_d[inside],
            mode="lines",
            line={"color": VERMILLION, "width": 2},
            name="best N and D for each compute",
            hovertemplate="best: N %{x:.3s}, D %{y:.3s}<extra></extra>",
        )
    drawable = [shown[row] for row in thinned(len(shown))]
    say_thinned(drawn, len(shown))
    for role, name, marker in (
        ("fit", "runs", {"color": INK, "size": 7, "line": {"color": PAPER, "width": 1}}),
        ("target", "targets", TARGET),
    ):
        mine = [record for record in drawable if (record.role == "target") == (role == "target")]
        if mine:
            trace = run_markers(mine, [record.n_params_non_embedding for record in mine], name, marker=marker)
            drawn.add_trace(trace.update(y=[record.d_tokens for record in mine]))
    drawn.update_xaxes(**log_axis(N_AXIS, n, pad=0.0))
    drawn.update_yaxes(**log_axis(D_AXIS, d, pad=0.0))
    return drawn


def _grid(values: np.ndarray) -> np.ndarray:
    return np.geomspace(values.min() / 10**BEYOND, values.max() * 10**BEYOND, CELLS)


def _levels(loss: np.ndarray) -> dict[str, float]:
    """Round steps, so that the labels are short."""
    low, high = float(loss.min()), float(np.quantile(loss, 0.98))
    raw = max(high - low, 1e-6) / LEVELS
    unit = 10 ** np.floor(np.log10(raw))
    step = float(min((m * unit for m in (1, 2, 2.5, 5, 10)), key=lambda one: abs(np.log(one / raw))))
    return {"start": float(np.ceil(low / step) * step), "end": float(high), "size": step}
