"""The dashboard's figures: what they draw, that every colour has its dark counterpart, every axis a unit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from sample_store import HOSTILE, curve_rows, position_rows, sample_forecasts, sample_plan, sample_records
from test_figures import a_record

from fitting.allocate import allocate
from fitting.compare import compare
from fitting.drift import drift
from fitting.envelope import fit_envelope
from fitting.errors import InputError
from fitting.fit import Fit, fit_law
from fitting.profile import profile
from results.compression import coded, source_bits
from results.context import context_use
from results.figures.calibration import calibration
from results.figures.cloud import bootstrap_cloud
from results.figures.compression import bits_against_compute, ratios_against_compute, sources_against_compute
from results.figures.context import context_against_compute
from results.figures.drift import constants_drift
from results.figures.envelope import envelope_of_runs
from results.figures.forecast import forecasts_against_truth
from results.figures.forecast_errors import forecast_errors
from results.figures.loss_curves import Along, Unit, loss_curves
from results.figures.multiplier import both_frontiers, compute_multiplier
from results.figures.profiles import profile_likelihoods
from results.figures.run_course import run_course
from results.figures.run_grid import FEW, chosen_mark, run_grid
from results.figures.status import STATUS_LOOK
from results.figures.style import DARK, SCALE, log_axis
from results.figures.surface import loss_surface
from results.measurement import Measurement
from results.outcome import Outcome
from results.points import record_points
from results.record import RunRecord, RunStatus

COLOR = re.compile(r"#[0-9a-fA-F]{3,8}|rgba?\([^)]*\)")
CLEAR = "rgba(0,0,0,0)"


def points_of(recipe: str):
    points = record_points([record for record in sample_records() if record.mlp == recipe], recipe)
    assert points is not None
    return points


@pytest.fixture(scope="module")
def fit() -> Fit:
    return fit_law(points_of("squared_relu"), "chinchilla", resamples=200)


@pytest.fixture(scope="module")
def other() -> Fit:
    return fit_law(points_of("swiglu"), "chinchilla", resamples=200)


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    by_id = {record.run_id: record for record in sample_records()}
    return [Outcome(forecast, by_id[forecast.run_id]) for forecast in sample_forecasts()]


def curve_of(record: RunRecord) -> dict[str, np.ndarray]:
    rows = curve_rows(record)
    return {name: np.asarray([row[name] for row in rows], float) for name in rows[0]}


@pytest.fixture(scope="module")
def everything(fit: Fit, other: Fit, outcomes: list[Outcome]) -> dict[str, go.Figure]:
    """Every figure that is new with the dashboard."""
    records = sample_records()
    curves = {record.run_id: curve_of(record) for record in records}
    sources = {r.run_id: {"web": 1.0, "code": r.bpb} for r in records if r.bpb is not None}
    best = allocate(fit, np.geomspace(1e12, 1e15, 9))
    return {
        "grid": run_grid(records, sample_plan().runs[-2:]),
        "curves": loss_curves(records, curves),
        "course": run_course(records[0], curves[records[0].run_id]),
        "surface": loss_surface(records, fit),
        "envelope": envelope_of_runs(fit.points, None),
        "cloud": bootstrap_cloud(fit, "alpha", "beta"),
        "drift": constants_drift(drift(fit, resamples=50), 1e14),
        "profiles": profile_likelihoods(profile(fit)),
        "calibration": calibration(outcomes),
        "errors": forecast_errors(outcomes),
        "against": forecasts_against_truth(outcomes),
        "multiplier": compute_multiplier(compare(fit, other), "A", HOSTILE),
        "frontiers": both_frontiers([("A", records[:16], best), (HOSTILE, records[16:32], None)]),
        "bits": bits_against_compute(coded(records)),
        "ratios": ratios_against_compute(coded(records)),
        "sources": sources_against_compute(records, sources),
        "context": context_against_compute(context_use(records, {r.run_id: position_rows(r) for r in records})),
    }


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            if key != "bdata":
                yield from strings(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from strings(one)


def test_every_colour_of_every_figure_has_a_dark_counterpart(everything: dict[str, go.Figure]):
    for name, drawn in everything.items():
        told = {text for text in strings(drawn.to_dict()) if COLOR.fullmatch(text)}
        assert told - DARK.keys() - {CLEAR} == set(), name
    assert len(set(SCALE)) == len(SCALE)


def test_every_axis_says_what_it_measures(everything: dict[str, go.Figure]):
    for name, drawn in everything.items():
        for axis in drawn.select_xaxes():
            assert axis.title.text or axis.matches, name
        if name != "against":  # whose rows are labelled
            for axis in drawn.select_yaxes():
                assert axis.title.text, name
        assert drawn.layout.meta["title"]


def test_text_from_a_store_is_never_markup(everything: dict[str, go.Figure]):
    allowed = re.compile(r"</?(b|br|sup|extra)>|<br>")
    for name, drawn in everything.items():
        for text in strings(drawn.to_dict()):
            assert "<" not in allowed.sub("", text), (name, text)


def test_the_grid_tells_each_status_by_colour_and_symbol():
    drawn = run_grid(sample_records(), sample_plan().runs[-2:])
    counts = {trace.name: (trace.marker.color, trace.marker.symbol) for trace in drawn.data}
    assert counts["done (34)"] == STATUS_LOOK["done"]
    assert counts["waiting (2)"] == STATUS_LOOK["waiting"]
    assert counts["failed (2)"] == STATUS_LOOK["failed"]
    assert len(set(counts.values())) == len(counts)
    assert {status.value for status in RunStatus} <= STATUS_LOOK.keys()


def test_runs_of_one_cell_stand_side_by_side_and_the_chosen_one_has_a_ring():
    same = [a_record(f"run-{seed}", seed=seed) for seed in range(9)]
    drawn = run_grid(same)
    (trace,) = drawn.data
    assert len({(round(x, 6), round(y, 6)) for x, y in zip(trace.x, trace.y, strict=True)}) == 9
    assert max(trace.x) / min(trace.x) < 1.15
    ring = chosen_mark(drawn, "run-4")
    assert ring is not None
    assert ring["x"] == [trace.x[4]]
    assert chosen_mark(drawn, "nobody") is None


def test_many_runs_are_drawn_by_webgl_without_a_sentence_each():
    many = [a_record(f"run-{i}") for i in range(FEW + 1)]
    (trace,) = run_grid(many).data
    assert isinstance(trace, go.Scattergl)
    assert trace.hovertext is None
    assert trace.customdata[7] == "run-7"


def test_curves_change_their_axis_and_their_unit():
    record = a_record(seconds=40.0)
    curve = curve_of(record)
    curve["seconds"] = np.linspace(1, 40, 40)

    def ends(along: Along, unit: Unit) -> tuple[float, float]:
        drawn = loss_curves([record], {record.run_id: curve}, along, unit, window=1)
        line, marker = drawn.data
        assert (drawn.layout.xaxis.title.text, drawn.layout.yaxis.title.text) == (along, unit)
        assert marker.x[0] == pytest.approx(line.x[-1])
        return float(line.x[-1]), float(line.y[-1])

    bits = record.eval_tokens / record.eval_bytes / math.log(2)
    tokens, nats = ends(Along.TOKENS, Unit.NATS)
    assert tokens == record.d_tokens
    assert ends(Along.FLOPS, Unit.NATS)[0] == pytest.approx(record.flops)
    assert ends(Along.SECONDS, Unit.NATS)[0] == pytest.approx(40.0)
    assert ends(Along.TOKENS, Unit.BITS)[1] == pytest.approx(nats * bits)


def test_a_window_of_one_leaves_a_curve_as_measured():
    record = a_record()
    curve = curve_of(record)
    measured = loss_curves([record], {record.run_id: curve}, window=1).data[0].y
    np.testing.assert_allclose(measured, curve["loss"])
    smooth = loss_curves([record], {record.run_id: curve}, window=9).data[0].y
    assert np.abs(np.diff(smooth, 2)).mean() < np.abs(np.diff(measured, 2)).mean()


def test_the_surface_carries_the_law(fit: Fit):
    drawn = loss_surface([], fit)
    contour = drawn.data[0]
    i, j = 40, 20
    c = fit.constants
    n, d = contour.x[i], contour.y[j]
    assert contour.z[j][i] == pytest.approx(c["E"] + c["A"] / n ** c["alpha"] + c["B"] / d ** c["beta"])


def test_the_envelope_is_the_lowest_run_of_each_compute(fit: Fit):
    try:
        found = fit_envelope(fit.points, flops=fit.points.flops_6nd)
    except InputError:
        found = None
    drawn = envelope_of_runs(fit.points, found)
    assert sum(len(trace.x) for trace in drawn.data if trace.name.startswith("N =")) == 16


def test_a_calibrated_law_stands_on_the_line_and_late_seals_do_not_count(outcomes: list[Outcome]):
    drawn = {trace.name: trace for trace in calibration(outcomes).data}
    assert list(drawn["auto"].y) == [100.0, 100.0]
    assert list(drawn["chinchilla"].y) == [0.0, 50.0]
    late = [Outcome(one.forecast, one.record.replace(started_at=1.0)) for one in outcomes if one.record is not None]
    assert [trace.name for trace in calibration(late).data] == ["as often as it says"]


def test_errors_are_relative_to_the_truth_and_bars_hold_it_when_they_should(outcomes: list[Outcome]):
    drawn = {trace.name: trace for trace in forecast_errors(outcomes).data}
    auto = drawn["auto"]
    assert sorted(auto.y) == pytest.approx([0.4, 0.4, 1.0, 1.0], abs=0.01)
    assert all(
        y - down < 0 < y + up for y, down, up in zip(auto.y, auto.error_y.arrayminus, auto.error_y.array, strict=True)
    )
    wrong = drawn["chinchilla"]
    assert any(y - down > 0 for y, down in zip(wrong.y, wrong.error_y.arrayminus, strict=True))


def test_the_better_recipe_needs_less_compute(fit: Fit, other: Fit):
    found = compare(fit, other)
    lines = [trace for trace in compute_multiplier(found, "a", "b").data if trace.name == "multiplier"]
    inside = np.asarray(lines[0].y, float)
    assert np.nanmax(inside) < 1  # swiglu's losses are 1.5% lower
    assert np.isnan(inside[found.extrapolated]).all()


def test_ratios_are_raw_bytes_over_coded_bytes():
    record = a_record(bpb=2.0, prequential_bits=8e5, prequential_bytes=3e5)
    (one,) = coded([record, a_record("none", bpb=None), a_record("nan", bpb=float("nan"))])
    assert one.ratio == 4.0
    assert one.coded_bytes == 1e5
    assert one.stream_ratio == 3.0
    assert one.model_bytes == 4 * record.n_params


def test_sources_are_those_of_the_last_evaluation():
    def measured(step: int, name: str, value: float, kind: str = "domain", metric: str = "bpb") -> Measurement:
        return Measurement(step, 1.0, 1, kind, name, metric, value, None, 1)

    rows = [measured(1, "web", 3.0), measured(2, "web", 2.0), measured(2, "code", 1.0), measured(2, "x", 9, "task")]
    assert source_bits(rows) == {"web": 2.0, "code": 1.0}
    assert source_bits([]) == {}


def test_flops_are_written_as_powers_on_short_axes():
    look = log_axis("C = 6ND (training FLOPs)", [3e11, 6e12])
    assert "10<sup>12</sup>" in look["ticktext"]
    assert "5 \u00d7 10<sup>11</sup>" in look["ticktext"] or "3 \u00d7 10<sup>11</sup>" in look["ticktext"]
    assert "dtick" not in look


def test_small_constants_are_written_without_milli():
    from results.figures.cloud import _axis

    assert _axis("alpha", 0.02, 1.0)["tickformat"] == "~g"
    assert _axis("B", 5.0, 5e6)["tickformat"] == "~s"
