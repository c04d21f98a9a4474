"""How does the sweep stand? Every run over N and D, with a colour and a symbol for its status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from fitting.show import si
from results.figures.status import STATUS_LOOK, WAITING, status_look
from results.figures.style import D_AXIS, INK, N_AXIS, PAPER, figure, log_axis, run_hover, safe
from results.listing import shown_status
from results.planned import PlannedRun
from results.record import RunRecord

FEW = 1500  # marks; above, they are drawn by WebGL, which a browser moves without effort
APART = 0.012  # decades between runs of one N and D, which differ in seed or learning rate
LARGE, SMALL = 12, 6  # pixels


@dataclass(frozen=True)
class _Mark:
    run_id: str
    n_params: float
    d_tokens: float
    status: str
    says: str


def run_grid(
    records: Sequence[RunRecord], waiting: Sequence[PlannedRun] = (), selected: str | None = None
) -> go.Figure:
    """`waiting`: runs that a sweep has planned and not begun. A click tells the run by its customdata."""
    drawn = figure("Runs by status", height=440)
    marks = [*map(_of_record, records), *map(_of_plan, waiting)]
    groups: dict[str, list[_Mark]] = {}
    for mark in marks:
        groups.setdefault(mark.status, []).append(mark)
    size = LARGE if len(marks) <= 200 else SMALL
    x, y = _spread(marks)
    place = {mark.run_id: (x[row], y[row]) for row, mark in enumerate(marks)}
    few = len(marks) <= FEW
    kind = go.Scatter if few else go.Scattergl
    for status in sorted(groups, key=_order):
        color, symbol = status_look(status)
        mine = groups[status]
        open_symbol = symbol.endswith("-open")
        edge = {"color": color if open_symbol or symbol == "x" else PAPER, "width": 1.5 if open_symbol else 0.8}
        drawn.add_trace(
            kind(
                x=[place[mark.run_id][0] for mark in mine],
                y=[place[mark.run_id][1] for mark in mine],
                mode="markers",
                name=f"{safe(status, limit=40)} ({len(mine):,})",
                marker={"color": color, "symbol": symbol, "size": size, "line": edge},
                customdata=[mark.run_id for mark in mine],
                **_hover(mine, few),
            )
        )
    drawn.update_xaxes(**log_axis(N_AXIS, [mark.n_params for mark in marks], pad=0.09))
    drawn.update_yaxes(**log_axis(D_AXIS, [mark.d_tokens for mark in marks], pad=0.09))
    drawn.update_layout(clickmode="event")
    return drawn


def chosen_mark(drawn: go.Figure, run_id: str) -> dict[str, Any] | None:
    """A ring around the mark of a run, as a trace for the same figure; None where it is not there."""
    for trace in drawn.data:
        if trace.customdata is not None and run_id in trace.customdata:
            at = list(trace.customdata).index(run_id)
            ring = {"color": "rgba(0,0,0,0)", "size": trace.marker.size + 9, "line": {"color": INK, "width": 2}}
            return go.Scatter(
                x=[trace.x[at]], y=[trace.y[at]], mode="markers", marker=ring, hoverinfo="skip", showlegend=False
            ).to_plotly_json()
    return None


def _hover(marks: Sequence[_Mark], few: bool) -> dict[str, Any]:
    """All of it for a few; of many, what the point itself holds: thousands of sentences take seconds to send."""
    if few:
        return {"hovertext": [mark.says for mark in marks], "hoverinfo": "text"}
    return {"hovertemplate": "%{customdata}<br>N %{x:.3s}, D %{y:.3s} tokens<extra></extra>"}


def _of_record(record: RunRecord) -> _Mark:
    status = shown_status(record)
    says = f"{run_hover(record)}<br>{safe(status)}: {safe(record.sentence)}"
    return _Mark(record.run_id, record.n_params_non_embedding, record.d_tokens, status, says)


def _of_plan(run: PlannedRun) -> _Mark:
    says = (
        f"<b>{safe(run.run_id[:16])}</b> {safe(run.role)}<br>N {si(run.n_params)}, D {si(run.d_tokens)} tokens<br>"
        f"exact {run.flops:.3g} FLOPs<br>waiting"
    )
    return _Mark(run.run_id, run.n_params, run.d_tokens, WAITING, says)


def _spread(marks: Sequence[_Mark]) -> tuple[list[float], list[float]]:
    """Runs of one N and D stand side by side, so that none hides another."""
    seen: dict[tuple[float, float], int] = {}
    x, y = [], []
    for mark in marks:
        at = (round(np.log10(max(mark.n_params, 1)), 3), round(np.log10(max(mark.d_tokens, 1)), 3))
        place = seen[at] = seen.get(at, -1) + 1
        ring, turn = (0.0, 0.0) if place == 0 else (APART * (1 + (place - 1) // 6), (place - 1) % 6 * np.pi / 3)
        x.append(mark.n_params * 10 ** (ring * np.cos(turn)))
        y.append(mark.d_tokens * 10 ** (ring * np.sin(turn)))
    return x, y


def _order(status: str) -> int:
    known = list(STATUS_LOOK)
    return known.index(status) if status in known else len(known)
