"""How well do the runs compress text? Bits per byte, coded bytes and archive ratios, by run and by source."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go
from dash.development.base_component import Component

from fitting.show import si
from results.compression import Coded, coded, source_bits
from results.dashboard.controls import Control, Values
from results.dashboard.moment import Live, Moment
from results.dashboard.parts import cards, empty, heading, table
from results.dashboard.tab import Panel, Tab, Words
from results.figures.compression import bits_against_compute, ratios_against_compute, sources_against_compute
from results.show import bytes_text
from results.words import PLAIN

NAME = "compression"
MOST_LISTED = 300


def controls(live: Live, moment: Moment) -> list[Control]:
    return []


def _runs(live: Live, moment: Moment) -> list[Coded]:
    return live.once(("coded", moment.version), lambda: coded(moment.records))


def _sources(live: Live, moment: Moment) -> Mapping[str, Mapping[str, float]]:
    """By run, bits per byte of each source."""

    def make() -> dict[str, Mapping[str, float]]:
        measured = live.store.all_measurements()
        return {run_id: source_bits(rows) for run_id, rows in measured.items()}

    return live.once(("sources", moment.version), make)


def _state(live: Live, moment: Moment, values: Values) -> list[Component]:
    runs = _runs(live, moment)
    if not runs:
        return [empty("No run has bits per byte", "They are known once a run has ended whose text is known in bytes.")]
    best = min(runs, key=lambda one: one.bpb)
    learned = [one for one in runs if one.stream_ratio is not None]
    shown = [
        (
            "Fewest bits per byte",
            f"{best.bpb:.4f}",
            [
                f"{best.record.run_id[:8]}, N = {si(best.record.n_params_non_embedding)}: held-out text "
                f"{best.ratio:.2f} "
                f"times smaller, the model ({bytes_text(best.model_bytes)}) not counted."
            ],
            PLAIN,
        )
    ]
    if learned:
        most = max(learned, key=lambda one: one.stream_ratio or 0.0)
        shown.append(
            (
                "Best archive that needs no model",
                f"{most.stream_ratio:.2f} times smaller",
                [
                    f"{most.record.run_id[:8]} coded {bytes_text(most.stream_bytes or 0.0)} of its training text in "
                    f"{bytes_text(most.coded_bytes or 0.0)} while it learned: whoever repeats the training can "
                    f"decode it."
                ],
                PLAIN,
            )
        )
    return [cards(shown)]


def _bits(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    runs = _runs(live, moment)
    return bits_against_compute(runs) if runs else "No run has bits per byte yet."


def _ratios(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    runs = _runs(live, moment)
    return ratios_against_compute(runs) if runs else "No run has bits per byte yet."


def _by_source(live: Live, moment: Moment, values: Values) -> go.Figure | str:
    sources = _sources(live, moment)
    if not any(sources.values()):
        return "No run was evaluated by source."
    return sources_against_compute([one.record for one in _runs(live, moment)], sources)


def _table(live: Live, moment: Moment, values: Values) -> list[Component]:
    runs = sorted(_runs(live, moment), key=lambda one: one.bpb)
    if not runs:
        return []
    rows = [
        (
            one.record.run_id[:12],
            si(one.record.n_params_non_embedding),
            f"{one.record.flops:.2e}",
            f"{one.bpb:.4f}",
            f"{one.ratio:.3f}",
            "" if one.stream_bytes is None else bytes_text(one.stream_bytes),
            "" if one.coded_bytes is None else bytes_text(one.coded_bytes),
            "" if one.stream_ratio is None else f"{one.stream_ratio:.3f}",
            bytes_text(one.model_bytes),
        )
        for one in runs[:MOST_LISTED]
    ]
    headers = (
        "run",
        "N\nnon-embedding",
        "C\nFLOPs",
        "held-out\nbits/byte",
        "ratio\nheld-out",
        "text\nof training",
        "coded\nwhile learning",
        "ratio\ntraining",
        "model\nfloat32",
    )
    note = "A ratio is raw bytes over coded bytes. python -m sweep.data compress RUN FILE makes an archive of any file."
    return [*heading("Runs as compressors", note), table(headers, rows, numbers=range(1, 9))]


COMPRESSION = Tab(
    name=NAME,
    title="Compression",
    question="How small the runs make text, by run and by source.",
    controls=controls,
    pieces=(
        Words("state", _state),
        Panel(
            "bits",
            "Bits per byte against compute",
            "Of the fixed held-out text: the loss in a unit that does not depend on the tokenizer.",
            _bits,
        ),
        Panel(
            "ratios",
            "Archive ratio against compute",
            "Held-out text coded by the finished model, and the training text coded by the model as it learned, "
            "which needs no model to decode.",
            _ratios,
        ),
        Panel(
            "sources",
            "Bits per byte by source",
            "Along the runs that no run of less compute beats: which sources gain from compute, which are at their"
            " floor.",
            _by_source,
            (),
            460,
            full=True,
        ),
        Words("runs", _table),
    ),
)
