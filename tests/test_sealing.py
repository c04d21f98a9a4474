"""What is sealed for the targets of a sweep: which laws, from which runs, and what is left out with a sentence."""

from __future__ import annotations

import dataclasses
import io

import pytest
from hydra import compose, initialize_config_module
from rich.console import Console
from test_figures import a_forecast, a_grid, a_record, a_target

from results.points import record_points
from results.store import Store
from sweep.config import AVERAGE, ForecastSettings, run_spec
from sweep.data.manifest import CorpusInfo
from sweep.forecast import point_sets, seal_forecasts
from sweep.show_forecasts import print_held, print_sealed
from sweep.spec import RunSpec
from sweep.values import Values

FAST = ForecastSettings((), ("chinchilla", "tied"))


@pytest.fixture(scope="module")
def targets() -> list[RunSpec]:
    """At 2 and 8 times the dearest run of the grid."""
    with initialize_config_module("conf", version_base="1.3"):
        values = Values.of(compose("config"))
    corpus, dearest = CorpusInfo.stand_in("python_source", 1024), max(record.flops for record in a_grid())
    made = run_spec(values, {"model.n": 5e6, "data.tokens": 1e8}, corpus)
    return [dataclasses.replace(made, steps=round(made.steps * times * dearest / made.flops)) for times in (2, 8)]


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def sealed(store: Store, targets, wishes=FAST):
    return seal_forecasts(store, a_grid(), targets, wishes, lambda words: None)


def test_every_law_is_sealed_for_every_target_from_all_runs(store, targets):
    found = sealed(store, targets)
    assert found.left_out == ()
    assert {(one.run_id, one.law) for one in found.forecasts} == {
        (target.run_id, law) for target in targets for law in ("chinchilla", "tied")
    }
    assert store.forecasts()[0] == sorted(
        found.forecasts, key=lambda one: (one.sealed_at, one.run_id, one.law, one.points_sha256)
    )
    for one in found.forecasts:
        target = next(target for target in targets if target.run_id == one.run_id)
        assert one.low < one.low50 < one.loss < one.high50 < one.high
        assert (one.flops, one.d_tokens, one.points) == (target.flops, target.d_tokens, 16)
    assert {round(one.span, 2) for one in found.forecasts} == {2.0, 8.0}


def test_a_span_forecasts_from_runs_that_are_far_below_alone(targets):
    """16 runs of FLOPs = 7.2 N D; the set of each target and span is what the numbers say."""
    points = record_points(a_grid(), "test")
    sets, left_out = point_sets(points, targets, [4.0, 16.0, 1e6])
    told = {(len(one.points), target.run_id) for one in sets for target in one.targets}
    expected = set()
    for target in targets:
        for span in (1.0, 4.0, 16.0):
            expected.add((int((points.flops <= target.flops / span).sum()), target.run_id))
    assert told == {(count, run_id) for count, run_id in expected if count >= 8}
    assert len({one.points.digest for one in sets}) == len(sets)
    for one in sets:
        spans = [target.flops / one.points.flops.max() for target in one.targets]
        assert min(spans) >= 1
    assert sum("1e+06x less compute: a law needs 8 finished runs" in sentence for sentence in left_out) == 2


def test_the_same_set_of_runs_is_used_once(targets):
    points = record_points(a_grid(), "test")
    (one,) = point_sets(points, targets, [1.5, 2.0])[0]  # no run is dearer than half of either target
    assert one.targets == tuple(targets)


def test_without_a_wish_the_average_and_the_law_that_predicts_best_are_sealed(store, targets):
    found = sealed(store, targets[:1], ForecastSettings((), None))
    average, best = found.forecasts
    assert average.law == AVERAGE
    assert average.status in ("tested on its own largest runs", "not tested")
    assert average.sentence.startswith("average of chinchilla")
    assert average.low < average.low50 < average.loss < average.high50 < average.high
    assert best.law in ("chinchilla", "gamma")
    assert "chosen by the median error" in best.sentence


def test_a_law_that_cannot_be_fitted_is_left_out_with_a_sentence(store, targets):
    found = sealed(store, targets, ForecastSettings((), ("tied", "accuracy")))
    assert {one.law for one in found.forecasts} == {"tied"}
    (sentence,) = found.left_out
    assert sentence.startswith("accuracy from 16 runs: left out (")


def test_nothing_is_sealed_for_a_target_that_has_begun_and_the_others_are(store, targets):
    begun, waiting = targets
    store.write(a_record(begun.run_id, role="target", status="interrupted", loss=None))
    found = sealed(store, targets)
    assert {one.run_id for one in found.forecasts} == {waiting.run_id}
    (sentence,) = found.left_out
    assert "has begun (interrupted): nothing more is sealed for it (0 sealed before)" in sentence
    assert sealed(store, [begun]).forecasts == ()


def test_sealing_again_fits_nothing_and_gives_what_counts(store, targets, monkeypatch):
    first = sealed(store, targets)
    monkeypatch.setattr("sweep.forecast.fit_law", None)
    again = sealed(store, targets)
    assert set(again.forecasts) == set(first.forecasts)


def test_too_few_runs_are_said(store, targets):
    found = seal_forecasts(store, a_grid()[:5], targets, FAST, lambda words: None)
    assert found.forecasts == ()
    assert "a law needs 8 finished runs" in found.left_out[0]


def printed(show, *arguments) -> str:
    console = Console(file=io.StringIO(), width=160)
    show(console, *arguments)
    return console.file.getvalue()  # ty: ignore[unresolved-attribute]


def test_one_target_is_told_in_sentences_and_many_in_a_table():
    average, other = a_forecast(law=AVERAGE, sentence="average of x"), a_forecast(law="gamma")
    said = printed(print_sealed, [average, other])
    assert said.startswith("forecast for the target sealed before training: 2.3000 nats/token (90% interval 2.2000 ..")
    assert "beside it, the gamma law alone: 2.3000" in said
    many = [a_forecast(run_id=f"target-{i}", law=law) for i in range(30) for law in (AVERAGE, "gamma")]
    table = printed(print_sealed, many)
    assert table.count("│ auto") == 30
    assert "gamma " not in table.split("60 forecasts in all")[0]
    assert "60 forecasts in all: those of gamma are in the store too" in table


def test_forecasts_are_judged_beside_the_truth():
    forecasts = [
        a_forecast(low50=2.25, high50=2.35),
        a_forecast(law="gamma", low50=2.1, high50=2.2),
        a_forecast(run_id="target-1", law="gamma", low=2.6, high=2.7),
    ]
    reached = [a_target(loss=2.3), a_record("target-1", role="target", loss=2.3), a_record("target-2", loss=2.5)]
    said = printed(print_held, forecasts, [record.replace(started_at=2e9) for record in reached])
    assert "target target-2: no forecast was sealed; reached 2.5000" in said
    assert said.count("inside ") >= 2
    assert "OUTSIDE" in said
    assert "2 of 3 inside their 90% interval, 1 of 2 inside their 50% interval" in said
    assert printed(print_held, [], []) == ""
