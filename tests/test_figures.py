"""The figures: what they draw from records, fits and outcomes, and what they do with names and numbers from a store."""

from __future__ import annotations

import numpy as np
import pytest

from fitting.allocate import allocate
from fitting.fit import Fit
from fitting.predict import predict
from results.figures.allocation import allocation_against_compute
from results.figures.compute import NEAR, frontier, isoflop_slices, slice_budgets
from results.figures.fit_quality import predicted_against_measured, residuals_against
from results.figures.forecast import forecasts_against_truth
from results.figures.loss_curves import MOST_POINTS, loss_curves, smoothed
from results.figures.style import CONFIG, log_axis, safe, size_colors
from results.outcome import Outcome
from results.points import fit_records, record_points, shortfall
from results.record import RunRecord
from results.store import Forecast
from results.view import dearest_6nd

SIZES, HORIZONS = (1e5, 3e5, 1e6, 3e6), (2e6, 6e6, 2e7, 6e7)


def a_record(run_id: str = "run-0", n: float = 1e5, d: float = 2e6, **changes) -> RunRecord:
    """A finished run whose loss lies on L = 1.8 + 60/N^0.35 + 400/D^0.4."""
    loss = 1.8 + 60 / n**0.35 + 400 / d**0.4
    plain = RunRecord(
        run_id=run_id,
        sweep="small",
        role="fit",
        status="done",
        sentence="trained",
        attempt=1,
        spec_json="{}",
        width=64,
        depth=2,
        heads=2,
        mlp_width=256,
        vocab_size=512,
        sequence=64,
        batch_tokens=512,
        steps=100,
        optimiser="adamw",
        learning_rate=0.01,
        beta1=0.9,
        beta2=0.95,
        epsilon=1e-8,
        weight_decay=0.1,
        decay_tokens=1e6,
        decay_exponent=0.5,
        clip_norm=1.0,
        schedule="wsd",
        warmup_steps=10,
        decay_fraction=0.3,
        seed=0,
        precision="float32",
        mlp="squared_relu",
        kv_heads=2,
        experts=1,
        parametrisation="complete_p",
        corpus="text",
        corpus_fingerprint="abcdef0123456789",
        tokenizer="bytes",
        unique_tokens=1e8,
        epochs=0.1,
        eval_tokens=1000,
        eval_bytes=3000,
        n_params=1.5 * n,
        n_params_non_embedding=n,
        n_params_active=n,
        n_params_flops=1.2 * n,
        d_tokens=d,
        flops=7.2 * n * d,
        flops_6nd=6 * n * d,
        loss=loss,
        loss_se=0.01,
        bpb=loss / 2,
        tokens_per_second=1e4,
        seconds=10.0,
        started_at=1e9,
        finished_at=1e9 + 10,
        host="elsewhere",
    )
    return plain.replace(**changes)


def a_grid() -> list[RunRecord]:
    """16 runs on the law above, each off it by about half a percent."""
    rng = np.random.default_rng(0)
    exact = [a_record(f"run-{i}{j}", n, d) for i, n in enumerate(SIZES) for j, d in enumerate(HORIZONS)]
    return [run.replace(loss=run.loss * float(np.exp(0.005 * rng.standard_normal()))) for run in exact]


def a_target(**changes) -> RunRecord:
    return a_record("target-0", 6e6, 2e8, **{"role": "target", "started_at": 1e9 + 100, **changes})


def a_forecast(**changes) -> Forecast:
    fields = dict(
        run_id="target-0",
        law="chinchilla",
        points_sha256="0" * 16,
        points=16,
        n_definition="n_params_non_embedding",
        loss=2.3,
        low=2.2,
        high=2.5,
        level=0.9,
        span=6.7,
        status="converged",
        sentence="well",
        sealed_at=1e9 + 50,
    )
    return Forecast(**{**fields, **changes})


@pytest.fixture(scope="module")
def fit() -> Fit:
    found = fit_records([*a_grid(), a_target()], "test")
    assert found is not None
    return found


def test_targets_and_unfinished_runs_are_never_fitted():
    records = [
        *a_grid(),
        a_target(),
        a_record("bad-1", status="diverged", loss=None, sentence="loss not finite at step 7"),
        a_record("bad-2", status="running", loss=None, sentence="in training"),
        a_record("bad-3", loss=float("nan")),
        a_record("bad-4", corpus_fingerprint="another"),
    ]
    points = record_points(records, "test")
    assert points is not None
    assert len(points) == 16
    assert not {"target-0", "bad-1", "bad-2", "bad-3", "bad-4"} & set(points.cluster)
    told = " ".join(points.excluded)
    assert all(f"bad-{i}" in told for i in range(1, 5))
    assert "loss not finite at step 7" in told
    assert "target-0" not in told


def test_the_hash_of_the_points_does_not_depend_on_the_order_of_the_records():
    grid = a_grid()
    one, other = record_points(grid, "test"), record_points(grid[::-1], "test")
    assert one is not None
    assert other is not None
    assert one.digest == other.digest


def test_too_few_runs_give_no_points_and_a_sentence_that_says_what_is_missing():
    assert record_points(a_grid()[:7], "test") is None
    assert "7 with 2 and 4" in (shortfall(a_grid()[:7]) or "")
    one_horizon = [a_record(f"r{i}", n * (1 + i), 2e6) for i, n in enumerate([1e5] * 9)]
    assert record_points(one_horizon, "test") is None
    assert shortfall(a_grid()) is None


def test_smoothing_keeps_a_constant_and_the_ends_and_drops_what_is_not_finite():
    tokens = np.arange(1.0, 1001.0)
    kept, loss = smoothed(tokens, np.full(1000, 2.5))
    assert len(kept) <= MOST_POINTS
    assert kept[0] == 1.0
    assert kept[-1] == 1000.0
    np.testing.assert_allclose(loss, 2.5)
    holes = np.full(1000, 2.5)
    holes[10:20] = np.nan
    np.testing.assert_allclose(smoothed(tokens, holes)[1], 2.5)
    assert len(smoothed(tokens, np.full(1000, np.nan))[0]) == 0


def test_loss_curves_draw_one_line_a_run_and_one_legend_entry_a_size():
    grid = a_grid()
    curve = {"tokens": np.geomspace(1e4, 2e6, 20), "loss": np.linspace(6.0, 3.0, 20)}
    drawn = loss_curves([*grid, a_target()], {record.run_id: curve for record in [*grid, a_target()]})
    assert sum(trace.mode == "lines" for trace in drawn.data) == 17
    named = [trace.name for trace in drawn.data if trace.showlegend]
    assert named == ["N = 100k", "N = 300k", "N = 1M", "N = 3M", "target, N = 6M"]
    assert drawn.layout.xaxis.type == drawn.layout.yaxis.type == "log"


def test_loss_curves_of_nothing_are_an_empty_figure():
    assert len(loss_curves([], {}).data) == 0
    assert len(loss_curves([a_record(loss=None)], {}).data) == 0


def test_frontier_places_every_run_at_its_6nd(fit: Fit):
    records = [*a_grid(), a_target(), a_record("bad", loss=None)]
    best = allocate(fit, np.geomspace(1e12, 1e15, 10))
    drawn = frontier(records, fit, best)
    places = {(x, y) for trace in drawn.data if trace.mode == "markers" for x, y in zip(trace.x, trace.y, strict=True)}
    assert places == {(record.flops_6nd, record.loss) for record in records if record.loss is not None}


def test_frontier_without_a_law_still_shows_the_runs():
    drawn = frontier([a_record()], None, None)
    assert [trace.mode for trace in drawn.data] == ["markers"]


def test_isoflop_minimum_is_where_the_curve_is_lowest(fit: Fit):
    drawn = isoflop_slices(a_grid(), fit)
    curves = [trace for trace in drawn.data if trace.mode == "lines"]
    minima = next(trace for trace in drawn.data if trace.name == "N* of the law")
    for curve, best in zip(curves, minima.x, strict=True):
        lowest = curve.x[int(np.argmin(curve.y))]
        assert best == pytest.approx(lowest, rel=0.15)  # the grid of N steps by 12%


def test_runs_of_a_perfect_law_stand_on_their_isoflop_curve(fit: Fit):
    perfect = [
        record.replace(
            loss=float(predict(fit, np.asarray([record.n_params_non_embedding]), np.asarray([record.d_tokens])).loss[0])
        )
        for record in a_grid()
    ]
    traces = isoflop_slices(perfect, fit).data
    curves = {trace.name: trace for trace in traces if trace.mode == "lines"}
    for trace in traces:
        if trace.mode == "markers":
            curve = curves[trace.name]
            expected = np.interp(np.log(trace.x), np.log(curve.x), curve.y)
            np.testing.assert_allclose(trace.y, expected, rtol=2e-3)  # linear between points of the curve


def test_slices_stand_amid_runs_of_like_compute():
    budgets = slice_budgets([1.0, 1.1, 1.2, 10.0, 11.0, 100.0])
    assert budgets == pytest.approx([(1.0 * 1.1 * 1.2) ** (1 / 3), 110**0.5, 100.0])
    assert len(slice_budgets(list(np.geomspace(1, 1e9, 40)))) == 5
    assert NEAR > 1


def test_residuals_are_in_percent_of_the_measured_loss(fit: Fit):
    drawn = residuals_against(fit, "d_tokens")
    errors = np.concatenate([trace.y for trace in drawn.data[1:]])
    predicted = np.concatenate([trace.y for trace in predicted_against_measured(fit).data[1:]])
    measured = np.concatenate([trace.x for trace in predicted_against_measured(fit).data[1:]])
    np.testing.assert_allclose(errors, 100 * (predicted / measured - 1), atol=1e-9)
    assert "%" in drawn.layout.yaxis.title.text


@pytest.mark.parametrize(("truth", "said"), [(2.4, "inside"), (2.6, "OUTSIDE"), (None, "open"), (float("nan"), "open")])
def test_forecast_says_in_words_whether_it_held(truth: float | None, said: str):
    outcome = Outcome(a_forecast(), a_target(loss=truth))
    assert outcome.verdict == said
    texts = [annotation.text for annotation in forecasts_against_truth([outcome]).layout.annotations]
    assert any(said in text for text in texts)


def test_a_forecast_sealed_after_the_start_is_called_that():
    outcome = Outcome(a_forecast(sealed_at=1e9 + 220), a_target())
    assert outcome.verdict == "sealed too late"
    assert "2 minutes AFTER the run started" in outcome.sentence
    assert "Sealed 50.0 s before" in Outcome(a_forecast(), a_target()).sentence
    assert "not in the store" in Outcome(a_forecast(), None).sentence


def test_allocation_figure_marks_the_named_budgets(fit: Fit):
    dearest = dearest_6nd(fit)
    best = allocate(fit, dearest * np.asarray([0.1, 1.0, 10.0, 100.0]))
    assert best is not None
    drawn = allocation_against_compute(best, "n_params", (0.1 * dearest, dearest), (10 * dearest, 100 * dearest))
    labels = [trace for trace in drawn.data if trace.mode == "markers+text"]
    assert [trace.y[0] for trace in labels] == list(best.n_params.value[2:])
    assert len(drawn.layout.shapes) == 1  # the fitted range


def test_names_are_shown_as_text_and_no_figure_offers_an_upload():
    assert safe("<a href='x'>b</a>") == "&lt;a href='x'&gt;b&lt;/a&gt;"
    assert safe("a\nb\x1b[31m") == "a\ufffdb\ufffd[31m"
    assert len(safe("x" * 5000)) == 120
    assert CONFIG == {"displaylogo": False, "showSendToCloud": False, "responsive": True}


def test_axes_and_colors_survive_one_value_and_none():
    assert np.isfinite(log_axis("N", [])["range"]).all()
    assert np.isfinite(log_axis("N", [5.0, float("nan"), -1.0])["range"]).all()
    assert len(size_colors([1e5])) == 1
    assert len(set(size_colors(SIZES).values())) == 4
