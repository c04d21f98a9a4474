"""What does compute buy? The runs against the frontier L*(C), and the law's IsoFLOP slices with the runs near them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from fitting.allocate import Allocation, optimum
from fitting.fit import Fit
from fitting.predict import predict
from fitting.show import si
from results.figures.style import (
    BLUE,
    C_AXIS,
    INK,
    MUTED,
    N_AXIS,
    PAPER,
    TARGET,
    axis,
    band,
    figure,
    log_axis,
    loss_axis,
    power,
    run_markers,
    say_thinned,
    size_colors,
    thinned,
)
from results.record import RunRecord

NEAR = 1.35  # a run belongs to a slice when its 6ND is within this factor of the slice's budget
MOST_SLICES = 5
SLICE_POINTS = 80
SHOWN_BEYOND = 2.5  # times the dearest run, target included


def frontier(records: Sequence[RunRecord], fit: Fit | None, best: Allocation | None) -> go.Figure:
    """Loss against 6ND. `best` is the law's optimum on a grid of budgets; None draws the runs alone."""
    drawn = figure("Loss against compute")
    shown = [record for record in records if record.loss is not None]
    losses = [record.loss for record in shown if record.loss is not None]
    flops = [record.flops_6nd for record in shown]
    if fit is not None and best is not None:
        dearest = float(fit.points.flops_6nd.max())
        # Further out the frontier would press the runs into a corner; the allocation figures go there.
        shown_to = best.flops <= SHOWN_BEYOND * max([dearest, *flops])
        x, low, high = best.flops[shown_to], best.loss.low[shown_to], best.loss.high[shown_to]
        drawn.add_traces(band(x, low, high, f"{best.level:.0%} interval of one run"))
        for fitted, dash, name in ((True, "solid", "L*(C)"), (False, "dash", "L*(C), extrapolated")):
            keep = shown_to & (best.flops <= dearest * 1.0001 if fitted else best.flops >= dearest * 0.9999)
            drawn.add_scatter(
                x=best.flops[keep],
                y=best.loss.value[keep],
                name=name,
                mode="lines",
                line={"color": BLUE, "width": 2.5, "dash": dash},
                hovertemplate="best at %{x:.3g} FLOPs: %{y:.3f} nats/token<extra></extra>",
            )
        flops += x.tolist()
        losses += [*low[np.isfinite(low)], *high[np.isfinite(high)]]
    _add_runs(drawn, [shown[row] for row in thinned(len(shown))])
    say_thinned(drawn, len(shown))
    drawn.update_xaxes(**log_axis(C_AXIS, flops))
    drawn.update_yaxes(**loss_axis(losses))
    return drawn


def isoflop_slices(records: Sequence[RunRecord], fit: Fit) -> go.Figure:
    """Loss against N at a few budgets of the fitted runs; D = C / 6N along a curve, its minimum marked.

    The runs near a budget are carried to it along the law.
    """
    drawn = figure("IsoFLOP slices")
    fitted = set(fit.points.cluster)
    runs = [record for record in records if record.run_id in fitted]
    say_thinned(drawn, len(runs))
    runs = [runs[row] for row in thinned(len(runs))]
    sizes = [record.n_params_non_embedding for record in runs]
    losses = [record.loss for record in runs if record.loss is not None]
    grid = np.geomspace(min(sizes) / 2.5, max(sizes) * 2.5, SLICE_POINTS)
    budgets = slice_budgets([record.flops_6nd for record in runs])
    colors = size_colors(budgets)
    minima: list[tuple[float, float]] = []  # those within the drawn sizes
    for budget in budgets:
        name = f"{power(budget)} FLOPs"
        curve = predict(fit, grid, budget / (6 * grid)).loss
        n_best, _ = optimum(fit.constants, np.asarray([budget]))
        if grid[0] <= n_best[0] <= grid[-1]:
            minima.append((float(n_best[0]), float(predict(fit, n_best, budget / (6 * n_best)).loss[0])))
        drawn.add_scatter(
            x=grid,
            y=curve,
            name=name,
            mode="lines",
            legendgroup=name,
            line={"color": colors[budget], "width": 2},
            hovertemplate=f"{name}, N = %{{x:.3s}}: %{{y:.3f}} nats/token<extra></extra>",
        )
        near = [record for record in runs if 1 / NEAR <= record.flops_6nd / budget <= NEAR]
        marker = {"color": colors[budget], "size": 9, "line": {"color": PAPER, "width": 1}}
        near_sizes = np.asarray([record.n_params_non_embedding for record in near])
        markers = run_markers(near, near_sizes.tolist(), name, legendgroup=name, showlegend=False, marker=marker)
        drawn.add_trace(markers.update(y=_carried(near, fit, budget / (6 * near_sizes))))
    if minima:
        drawn.add_scatter(
            x=[n for n, _ in minima],
            y=[loss for _, loss in minima],
            name="N* of the law",
            mode="lines+markers",
            line={"color": INK, "width": 1, "dash": "dot"},
            marker={"symbol": "diamond-open", "size": 10, "color": INK, "line": {"width": 1.5}},
            hovertemplate="N* = %{x:.3s}: %{y:.3f} nats/token<extra></extra>",
        )
    drawn.update_xaxes(**log_axis(N_AXIS, grid, pad=0.0))
    drawn.update_yaxes(**loss_axis([*losses, *(loss for _, loss in minima)], pad=0.12))
    return drawn


def _carried(records: Sequence[RunRecord], fit: Fit, d_tokens: np.ndarray) -> np.ndarray:
    """Losses moved along the law to other horizons: what is left between point and curve is the error of the law.

    A run whose compute is a third off would else stand off the curve of a perfect law.
    """
    n_params = np.asarray([record.n_params_non_embedding for record in records])
    own = np.asarray([record.d_tokens for record in records])
    losses = np.asarray([record.loss for record in records], dtype=float)
    return losses * predict(fit, n_params, d_tokens).loss / predict(fit, n_params, own).loss


def slice_budgets(flops: Sequence[float]) -> list[float]:
    """Up to MOST_SLICES budgets, each amid the most runs that no other has: the slices that the grid really holds."""
    left, budgets = sorted(flops), []
    while left and len(budgets) < MOST_SLICES:
        near = [[other for other in left if 1 <= other / low <= NEAR] for low in left]
        group = max(near, key=lambda members: (len(members), members[0]))
        budgets.append(float(np.exp(np.mean(np.log(group)))))
        left = [other for other in left if other not in group]
    return sorted(budgets)


def _add_runs(drawn: go.Figure, records: Sequence[RunRecord]) -> None:
    """At their 6ND: fitted runs coloured by N, targets as stars."""
    grid = [record for record in records if record.role != "target"]
    colors = size_colors(record.n_params_non_embedding for record in grid)
    for size, color in colors.items():
        same = [record for record in grid if record.n_params_non_embedding == size]
        marker = {"color": color, "size": 9, "line": {"color": PAPER, "width": 1}}
        drawn.add_trace(run_markers(same, [record.flops_6nd for record in same], f"N = {si(size)}", marker=marker))
    targets = [record for record in records if record.role == "target"]
    if targets:
        drawn.add_trace(run_markers(targets, [record.flops_6nd for record in targets], "target", marker=TARGET))
    if not records:
        drawn.update_xaxes(**axis(C_AXIS))
        drawn.add_annotation(text="no run has a loss yet", showarrow=False, font={"color": MUTED})
