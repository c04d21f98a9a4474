"""How did the runs learn? Training loss against tokens, one line a run, coloured by N, with the held-out loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from fitting.show import si
from results.figures.style import PAPER, TARGET, VERMILLION, axis, figure, log_axis, run_hover, safe, size_colors
from results.record import RunRecord

WINDOW = 5  # rows of a curve in one smoothed value; a row is already a mean over its steps
MOST_POINTS = 300  # a line; more cannot be seen and only make the file larger


def loss_curves(records: Sequence[RunRecord], curves: Mapping[str, Mapping[str, np.ndarray]]) -> go.Figure:
    """Both axes logarithmic: a power law is straight. Runs without a curve are drawn as their marker alone."""
    drawn = figure("Loss curves", height=460)
    # Targets have a colour of their own: with them in the scale, N would change colour between figures.
    colors = size_colors(record.n_params_non_embedding for record in records if record.role != "target")
    tokens_seen: list[float] = []
    losses_seen: list[float] = []
    named: set[str] = set()
    for record in sorted(records, key=lambda record: (record.role == "target", record.n_params_non_embedding)):
        target = record.role == "target"
        size = record.n_params_non_embedding
        name = f"target, N = {si(size)}" if target else f"N = {si(size)}"
        color = VERMILLION if target else colors[size]
        said = safe(record.run_id[:8]).replace("%", "\uff05")  # a template reads %{name}
        group = {"legendgroup": name, "name": name}
        curve = curves.get(record.run_id)
        if curve is not None:
            tokens, loss = smoothed(curve["tokens"], curve["loss"])
            tokens_seen += tokens.tolist()
            losses_seen += loss.tolist()
            drawn.add_scatter(
                x=tokens,
                y=loss,
                mode="lines",
                line={"color": color, "width": 3.0 if target else 1.6},
                hovertemplate=f"{said}: %{{y:.3f}} nats/token after %{{x:.3s}} tokens<extra></extra>",
                showlegend=name not in named,
                **group,
            )
            named.add(name)
        if record.loss is not None and record.loss > 0:
            tokens_seen.append(record.d_tokens)
            losses_seen.append(record.loss)
            drawn.add_scatter(
                x=[record.d_tokens],
                y=[record.loss],
                mode="markers",
                marker=TARGET if target else {"color": color, "size": 8, "line": {"color": PAPER, "width": 1}},
                hovertext=[run_hover(record)],
                hoverinfo="text",
                showlegend=name not in named,
                **group,
            )
            named.add(name)
    drawn.update_xaxes(**log_axis("training tokens seen", tokens_seen))
    drawn.update_yaxes(**log_axis("loss (nats/token)", losses_seen, dtick="D1", tickformat="~g"))
    if not tokens_seen:
        drawn.update_xaxes(**axis("training tokens seen"))
    return drawn


def smoothed(tokens: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A centred geometric mean over WINDOW rows, thinned evenly in ln(tokens); rows that are not finite go.

    A row weighs as many tokens as it is a mean over: the last one often covers a few steps only and is mostly noise.
    """
    keep = np.isfinite(loss) & (loss > 0) & np.isfinite(tokens) & (tokens > 0)
    tokens, logs = tokens[keep], np.log(loss[keep])
    if not len(tokens):
        return tokens, logs
    weights = np.maximum(np.diff(tokens, prepend=0.0), 1e-9)
    sums, totals = (np.concatenate([[0.0], np.cumsum(values)]) for values in (weights * logs, weights))
    rows = np.arange(len(logs))
    # The window shrinks towards both ends, since a one-sided one would bend the first and last steps; only a row
    # over few tokens leans on its neighbour.
    half = np.minimum(np.minimum(rows, rows[::-1]), WINDOW // 2)
    half = np.where((half == 0) & (weights < 0.7 * np.median(weights)), 1, half)
    low, high = np.maximum(rows - half, 0), np.minimum(rows + half + 1, len(rows))
    mean = (sums[high] - sums[low]) / (totals[high] - totals[low])
    wanted = np.geomspace(tokens[0], tokens[-1], MOST_POINTS)
    chosen = np.unique(np.searchsorted(tokens, wanted).clip(0, len(tokens) - 1))
    return tokens[chosen], np.exp(mean[chosen])
