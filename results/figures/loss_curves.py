"""How did the runs learn? Training loss against tokens, FLOPs or seconds, one line a run, with the held-out loss."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from fitting.show import si
from results.figures.style import PAPER, TARGET, VERMILLION, axis, figure, log_axis, run_hover, safe, size_colors
from results.record import RunRecord

WINDOW = 5  # rows of a curve in one smoothed value; a row is already a mean over its steps
MOST_POINTS = 300  # a line; more cannot be seen and only make the file larger


class Along(enum.StrEnum):
    """What is drawn across; the value is the axis."""

    TOKENS = "training tokens seen"
    FLOPS = "training FLOPs spent (exact)"
    SECONDS = "seconds in training"


class Unit(enum.StrEnum):
    """What is drawn up; the value is the axis."""

    NATS = "loss (nats/token)"
    BITS = "loss (bits/byte)"


def loss_curves(
    records: Sequence[RunRecord],
    curves: Mapping[str, Mapping[str, np.ndarray]],
    along: Along = Along.TOKENS,
    unit: Unit = Unit.NATS,
    window: int = WINDOW,
) -> go.Figure:
    """Both axes logarithmic: a power law is straight. Runs without a curve are drawn as their marker alone.

    `window`: rows of a curve in one smoothed value, 1: as measured.
    """
    drawn = figure("Loss curves", height=460)
    # Targets have a colour of their own: with them in the scale, N would change colour between figures.
    colors = size_colors(record.n_params_non_embedding for record in records if record.role != "target")
    across_seen: list[float] = []
    losses_seen: list[float] = []
    named: set[str] = set()
    word, short = unit.split("(")[1].rstrip(")"), {"FLOPS": "FLOPs", "TOKENS": "tokens", "SECONDS": "s"}[along.name]
    lines: list[dict] = []
    for record in sorted(records, key=lambda record: (record.role == "target", record.n_params_non_embedding)):
        target = record.role == "target"
        size, scale = record.n_params_non_embedding, _scale(record, unit)
        name = f"target, N = {si(size)}" if target else f"N = {si(size)}"
        color = VERMILLION if target else colors[size]
        said = safe(record.run_id[:8]).replace("%", "\uff05")  # a template reads %{name}
        group = {"legendgroup": name, "name": name}
        curve = curves.get(record.run_id)
        if scale is None:
            continue
        if curve is not None and len(curve["tokens"]):
            at, loss = smoothed(curve["tokens"], curve["loss"], window)
            at, loss = _across(record, curve, at, along), loss * scale
            across_seen += at.tolist()
            losses_seen += loss.tolist()
            lines.append(
                dict(
                    type="scatter",
                    x=at,
                    y=loss,
                    mode="lines",
                    line={"color": color, "width": 3.0 if target else 1.6},
                    customdata=[record.run_id] * len(at),
                    hovertemplate=f"{said}: %{{y:.3f}} {word} after %{{x:.3s}} {short}<extra></extra>",
                    showlegend=name not in named,
                    **group,
                )
            )
            named.add(name)
        end = _end(record, along)
        if record.loss is not None and record.loss > 0 and end is not None:
            across_seen.append(end)
            losses_seen.append(record.loss * scale)
            lines.append(
                dict(
                    type="scatter",
                    x=[end],
                    y=[record.loss * scale],
                    mode="markers",
                    marker=TARGET if target else {"color": color, "size": 8, "line": {"color": PAPER, "width": 1}},
                    customdata=[record.run_id],
                    hovertext=[run_hover(record)],
                    hoverinfo="text",
                    showlegend=name not in named,
                    **group,
                )
            )
            named.add(name)
    drawn.add_traces(lines)  # at once: one by one, plotly takes three times as long
    drawn.update_xaxes(**(log_axis(along, across_seen) if across_seen else axis(along)))
    drawn.update_yaxes(**log_axis(unit, losses_seen, dtick="D1", tickformat="~g"))
    return drawn


def smoothed(tokens: np.ndarray, loss: np.ndarray, window: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
    """A centred geometric mean over `window` rows, thinned evenly in ln(tokens); rows that are not finite go.

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
    half = np.minimum(np.minimum(rows, rows[::-1]), window // 2)
    half = np.where((half == 0) & (weights < 0.7 * np.median(weights)), min(window // 2, 1), half)
    low, high = np.maximum(rows - half, 0), np.minimum(rows + half + 1, len(rows))
    mean = (sums[high] - sums[low]) / (totals[high] - totals[low])
    wanted = np.geomspace(tokens[0], tokens[-1], MOST_POINTS)
    chosen = np.unique(np.searchsorted(tokens, wanted).clip(0, len(tokens) - 1))
    return tokens[chosen], np.exp(mean[chosen])


def _scale(record: RunRecord, unit: Unit) -> float | None:
    """From nats per token; None where the bytes of the text are not known."""
    if unit is Unit.NATS:
        return 1.0
    return record.eval_tokens / record.eval_bytes / math.log(2) if record.eval_bytes and record.eval_tokens else None


def _across(record: RunRecord, curve: Mapping[str, np.ndarray], tokens: np.ndarray, along: Along) -> np.ndarray:
    if along is Along.TOKENS:
        return tokens
    if along is Along.FLOPS:
        return tokens * record.flops / record.d_tokens  # every token costs the same
    seconds = np.maximum(curve["seconds"], 1e-3)
    return np.interp(tokens, curve["tokens"], seconds)


def _end(record: RunRecord, along: Along) -> float | None:
    return {Along.TOKENS: record.d_tokens, Along.FLOPS: record.flops, Along.SECONDS: record.seconds}[along]
