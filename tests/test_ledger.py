"""The ledger of forecasts: one file a run, law and set of points; the first seal holds, and none comes too late."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest
from test_figures import a_forecast, a_target

from fitting.errors import InputError
from results.outcome import Outcome
from results.sealed import Forecast, forecast_of, forecast_text
from results.store import Store

RUN = "target-0"


@pytest.fixture(params=["folder", "file", "memory"])
def store(request, tmp_path, monkeypatch) -> Store:
    """In a folder, by the URL of a folder, and behind a URL."""
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    names = {"folder": f"{tmp_path}/store", "file": f"file://{tmp_path}/store", "memory": f"memory://{tmp_path}"}
    return Store(names[request.param])


def by_an_older_version(forecast: Forecast) -> bytes:
    """As it was written before there were several a run: fewer fields."""
    fields = dataclasses.asdict(forecast)
    for name in ("low50", "high50", "flops", "n_params", "d_tokens"):
        del fields[name]
    return json.dumps(fields).encode()


def test_the_first_seal_of_a_run_law_and_set_of_points_holds(store):
    first = a_forecast(low50=2.25, high50=2.4, flops=1e15, n_params=6e6, d_tokens=2e8)
    assert store.seal(first) == first
    assert store.seal(dataclasses.replace(first, loss=2.0, sealed_at=0.0)) == first
    assert store.forecasts_of(RUN) == [first]
    assert store.forecasts_of("another") == []
    assert store.forecasts() == ([first], [])


def test_several_laws_and_sets_of_points_are_sealed_for_one_run(store):
    one = a_forecast(sealed_at=3.0)
    other_law, other_points = a_forecast(law="auto", sealed_at=2.0), a_forecast(points_sha256="f" * 16, sealed_at=1.0)
    other_run = a_forecast(run_id="target-1", sealed_at=0.0)
    for forecast in (one, other_law, other_points, other_run):
        assert store.seal(forecast) == forecast
    assert store.forecasts_of(RUN) == [other_points, other_law, one]
    assert store.forecasts() == ([other_run, other_points, other_law, one], [])


def test_a_forecast_of_an_older_version_is_read_and_counts(store):
    old = a_forecast()
    store.files.write(f"forecasts/{RUN}.json", by_an_older_version(old))
    assert store.forecasts() == ([old], [])
    assert store.seal(dataclasses.replace(old, loss=2.0)) == old
    other = a_forecast(law="gamma", sealed_at=old.sealed_at + 1)
    assert store.seal(other) == other
    assert store.forecasts_of(RUN) == [old, other]


def test_nothing_is_sealed_for_a_run_that_has_begun(store):
    before = store.seal(a_forecast())
    store.write(a_target(status="interrupted", loss=None))
    for late in (a_forecast(law="auto"), a_forecast(points_sha256="f" * 16)):
        with pytest.raises(InputError, match=rf"run {RUN} has begun \(interrupted\)"):
            store.seal(late)
    assert store.seal(a_forecast(loss=2.0)) == before  # what was sealed in time is told, not sealed anew
    assert store.forecasts() == ([before], [])


def test_a_record_that_tells_no_start_keeps_nobody_from_sealing_and_a_damaged_one_does(store):
    store.write(a_target(status="failed", loss=None, started_at=None))
    store.seal(a_forecast())
    store.files.write("runs/target-1.parquet", b"PAR1 torn")
    with pytest.raises(InputError, match="its record is damaged"):
        store.seal(a_forecast(run_id="target-1"))


@pytest.mark.parametrize("name", [f"forecasts/{RUN}.json", f"forecasts/{RUN}/chinchilla-{'0' * 16}.json"])
def test_a_damaged_file_is_named_and_never_sealed_anew(store, name):
    store.files.write(name, b'{"run_id": "x"')
    whole = store.seal(a_forecast(run_id="target-1"))
    found, damaged = store.forecasts()
    assert found == [whole]
    assert [one.path for one in damaged] == [store.files.where(name)]
    with pytest.raises(InputError, match=r"cannot be read .*; restore it, or move it away to seal anew"):
        store.seal(a_forecast())
    assert store.files.read(name) == b'{"run_id": "x"'


def test_a_forecast_that_lies_with_another_run_is_damage(store):
    store.files.write(f"forecasts/{RUN}/auto-1.json", forecast_text(a_forecast(run_id="target-1")).encode())
    found, damaged = store.forecasts()
    assert found == []
    assert "is about run target-1" in damaged[0].reason


@pytest.mark.parametrize("field", ["run_id", "law", "points_sha256"])
def test_names_that_lead_elsewhere_are_refused(store, field):
    for name in ("../x", "a/b", "", ".hidden"):
        with pytest.raises(InputError, match=f"{field} is .*allowed are 1 to 100 letters"):
            store.seal(a_forecast(**{field: name}))
    assert store.forecasts() == ([], [])


@pytest.mark.parametrize("change", [{"low50": "2.2"}, {"loss": None}, {"points": 1.5}, {"flops": True}, {"law": 1}])
def test_a_value_of_another_kind_is_refused(change):
    with pytest.raises(TypeError, match=next(iter(change))):
        forecast_of(forecast_text(a_forecast(**change)))


def test_whole_numbers_may_be_written_without_a_point():
    assert forecast_of(forecast_text(a_forecast(low50=2, flops=10**15))).flops == 10**15


def test_the_50_percent_interval_is_judged_where_there_is_one():
    inside, outside = a_forecast(low50=2.25, high50=2.4), a_forecast(low50=2.31, high50=2.4)
    reached = a_target(loss=2.3)
    assert [Outcome(one, reached).inside50 for one in (inside, outside, a_forecast())] == [True, False, None]
    assert Outcome(inside, None).inside50 is None
    assert Outcome(outside, reached).inside is True


def test_temporary_files_of_killed_writers_are_garbage_and_forecasts_are_not(tmp_path):
    from results.garbage import find_garbage

    store = Store(tmp_path)
    store.seal(a_forecast())
    left = tmp_path / "forecasts" / RUN / ".auto-1.json.x"
    left.write_text("{")
    for file in (left, *(tmp_path / "forecasts" / RUN).glob("*.json")):
        os.utime(file, (1e9, 1e9))
    assert [one.path for one in find_garbage(store)] == [left]
