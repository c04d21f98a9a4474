"""What does compute do for compression? Bits per byte and archive ratios of runs, and of each source, against C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from fitting.show import si
from results.compression import Coded
from results.figures.calibration import COLORS, SYMBOLS
from results.figures.style import (
    C_AXIS,
    PAPER,
    axis,
    figure,
    log_axis,
    loss_axis,
    run_hover,
    safe,
    say_thinned,
    size_colors,
    thinned,
)
from results.record import RunRecord

BPB_AXIS = "bits per byte of held-out text"
RATIO_AXIS = "raw bytes / coded bytes"
MOST_SOURCES = 14


def bits_against_compute(runs: Sequence[Coded]) -> go.Figure:
    drawn = figure("Bits per byte against compute")
    say_thinned(drawn, len(runs))
    runs = [runs[row] for row in thinned(len(runs))]
    for size, mine, color in _by_size(runs):
        drawn.add_scatter(
            x=[one.record.flops_6nd for one in mine],
            y=[one.bpb for one in mine],
            mode="markers",
            marker={"color": color, "size": 9, "line": {"color": PAPER, "width": 1}},
            name=f"N = {si(size)}",
            hovertext=[f"{run_hover(one.record)}<br>{one.bpb:.4f} bits/byte" for one in mine],
            hoverinfo="text",
        )
    drawn.update_xaxes(**log_axis(C_AXIS, [one.record.flops_6nd for one in runs]))
    drawn.update_yaxes(**loss_axis([one.bpb for one in runs], BPB_AXIS))
    return drawn


def ratios_against_compute(runs: Sequence[Coded]) -> go.Figure:
    """Held-out text by the finished model, and the training stream by the model as it learned."""
    drawn = figure("Archive ratio against compute")
    say_thinned(drawn, len(runs))
    runs = [runs[row] for row in thinned(len(runs))]
    shown: list[float] = []
    for place, (name, of) in enumerate(
        (
            ("held-out text, model not counted", lambda one: one.ratio),
            ("training text, nothing else to send", lambda one: one.stream_ratio),
        )
    ):
        mine = [(one, of(one)) for one in runs if of(one) is not None]
        shown += [ratio for _, ratio in mine]
        drawn.add_scatter(
            x=[one.record.flops_6nd for one, _ in mine],
            y=[ratio for _, ratio in mine],
            mode="markers",
            marker={"color": COLORS[place], "symbol": SYMBOLS[place], "size": 9, "line": {"color": PAPER, "width": 1}},
            name=name,
            hovertext=[f"{run_hover(one.record)}<br>{ratio:.2f} raw bytes a coded byte" for one, ratio in mine],
            hoverinfo="text",
        )
    drawn.update_xaxes(**log_axis(C_AXIS, [one.record.flops_6nd for one in runs]))
    drawn.update_yaxes(**loss_axis(shown, RATIO_AXIS))
    return drawn


def sources_against_compute(runs: Sequence[RunRecord], sources: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """`sources`: by run_id, bits per byte of each source. Along the runs that no run of less compute beats."""
    drawn = figure("Bits per byte by source", height=460)
    front = _front([run for run in runs if run.loss is not None and sources.get(run.run_id)])
    names = sorted({name for run in front for name in sources[run.run_id]})
    last = {name: sources[front[-1].run_id].get(name, float("inf")) for name in names} if front else {}
    names = sorted(names, key=lambda name: -last[name])[:MOST_SOURCES]
    for place, name in enumerate(names):
        mine = [run for run in front if name in sources[run.run_id]]
        label = safe(name, limit=24)
        said = label.replace("%", "\uff05")  # a template reads %{name}
        drawn.add_scatter(
            x=[run.flops_6nd for run in mine],
            y=[sources[run.run_id][name] for run in mine],
            mode="lines+markers",
            line={
                "color": COLORS[place % len(COLORS)],
                "width": 1.6,
                "dash": ("solid", "dash")[place // len(COLORS) % 2],
            },
            marker={"size": 7, "symbol": SYMBOLS[place % len(SYMBOLS)]},
            name=label,
            hovertemplate=f"{said}: %{{y:.3f}} bits/byte at %{{x:.3g}} FLOPs<extra></extra>",
        )
    values = [value for run in front for value in sources[run.run_id].values()]
    drawn.update_xaxes(**(log_axis(C_AXIS, [run.flops_6nd for run in front]) if front else axis(C_AXIS)))
    drawn.update_yaxes(**loss_axis(values, BPB_AXIS))
    return drawn


def _front(runs: Sequence[RunRecord]) -> list[RunRecord]:
    found: list[RunRecord] = []
    for run in sorted(runs, key=lambda run: run.flops_6nd):
        if not found or (run.loss or 0.0) < (found[-1].loss or 0.0):
            found.append(run)
    return found


def _by_size(runs: Sequence[Coded]) -> list[tuple[float, list[Coded], str]]:
    colors = size_colors(one.record.n_params_non_embedding for one in runs) if runs else {}
    return [
        (size, [one for one in runs if one.record.n_params_non_embedding == size], color)
        for size, color in colors.items()
    ]
