"""The plan of a sweep: what is written is read again, hostile files are left out, the time left follows the FLOPs."""

from __future__ import annotations

import dataclasses
import json

import pytest
from test_figures import a_record

from results.garbage import find_garbage
from results.planned import PlannedRun, SweepPlan, eta, plan_of, sweep_plans, write_plan
from results.store import Store

BEGAN = 1e9
RUNS = tuple(PlannedRun(f"run-{i}", "fit", 1e5, 1e6, flops=1e12, seconds=100.0) for i in range(4))
PLAN = SweepPlan("mine", BEGAN, "host", 7, slots=2, price=1.8, launcher="local", runs=RUNS)


def done(run: str, **changes):
    took = dict(status="done", steps=100, last_step=100, seconds=80.0, eval_seconds=10.0, compile_seconds=10.0)
    return a_record(run).replace(**{**took, "started_at": BEGAN, "finished_at": BEGAN + 100, **changes})


def running(run: str, **changes):
    return done(run, status="running", last_step=0, seconds=None, finished_at=None, **changes)


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    return Store({"folder": f"{tmp_path}/store", "memory": f"memory://{tmp_path}"}[request.param])


def test_plans_are_read_as_they_were_written_oldest_first(store):
    later = dataclasses.replace(PLAN, sweep="other", started_at=BEGAN + 1, price=None)
    write_plan(store, later)
    write_plan(store, PLAN)
    assert sweep_plans(store) == [PLAN, later]
    assert find_garbage(store) == []


def test_the_same_runs_carried_on_have_one_plan_and_other_runs_have_another(store):
    write_plan(store, PLAN)
    again = dataclasses.replace(PLAN, started_at=BEGAN + 5, runs=RUNS[::-1])
    write_plan(store, again)
    assert sweep_plans(store) == [again]
    fewer = dataclasses.replace(PLAN, runs=RUNS[:3])
    write_plan(store, fewer)
    assert sweep_plans(store) == [fewer, again]


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"started_at": "now"},
        {"started_at": float("nan")},
        {"price": -1.0},
        {"slots": 1.5},
        {"pid": True},
        {"runs": [dataclasses.asdict(RUNS[0]) | {"flops": 1e300}]},
        {"sweep": "../../x"},
        {"runs": None},
        {"runs": [{"run_id": "r"}]},
        {"runs": [dataclasses.asdict(RUNS[0]) | {"run_id": "a/b"}]},
        {"runs": [dataclasses.asdict(RUNS[0]) | {"flops": float("inf")}]},
        {"runs": [dataclasses.asdict(RUNS[0]) | {"more": 1}]},
        {"unknown": 1},
    ],
)
def test_a_damaged_or_hostile_file_is_left_out(store, change):
    write_plan(store, PLAN)
    text = json.dumps({"version": 1, **dataclasses.asdict(PLAN), **change})
    store.files.write("plans/hostile.json", text.encode())
    store.files.write("plans/torn.json", b'{"version": 1')
    store.files.write("plans/list.json", b"[1]")
    assert sweep_plans(store) == [PLAN]
    with pytest.raises((TypeError, ValueError, LookupError)):
        plan_of(text)


def test_the_time_left_follows_the_flops_since_the_plan_began():
    """1.5 runs in 150 s: 2.5 are left, which take 250 s."""
    found = eta(PLAN, [done("run-0"), running("run-1")], BEGAN + 150, {"run-1": 50})
    assert (found.done, found.running, found.waiting, found.failed) == (1, 1, 2, 0)
    assert (found.flops_done, found.flops_left) == (1.5e12, 2.5e12)
    assert found.share == pytest.approx(0.375)
    assert found.seconds == pytest.approx(250)


def test_the_time_before_the_first_run_tells_no_rate():
    """What was done before the plan, and 1,000 s of forecasts; then half a run in 50 s."""
    old = [done(f"run-{i}", started_at=BEGAN - 1e6, finished_at=BEGAN - 9e5) for i in range(3)]
    last = running("run-3").replace(started_at=BEGAN + 1000)
    assert eta(PLAN, [*old, last], BEGAN + 1050, {"run-3": 50}).seconds == pytest.approx(50)


def test_the_cost_is_that_of_busy_workers():
    """100 s of the one, 150 s so far of the other, at $1.8 an hour; of 1.5 runs, and four cost 4 / 1.5 as much."""
    found = eta(PLAN, [done("run-0"), running("run-1")], BEGAN + 150, {"run-1": 50})
    assert found.dollars == pytest.approx(250 / 3600 * 1.8)
    assert found.dollars_in_all == pytest.approx(250 / 3600 * 1.8 * 4 / 1.5)
    free = eta(dataclasses.replace(PLAN, price=None), [done("run-0")], BEGAN + 150)
    assert (free.dollars, free.dollars_in_all) == (None, None)
    packed = [done(f"run-{i}", packed=2) for i in range(2)]
    assert eta(PLAN, packed, BEGAN + 150).dollars == pytest.approx(100 / 3600 * 1.8)


def test_before_anything_is_trained_the_estimate_tells():
    """4 runs of 100 s, two at once."""
    found = eta(PLAN, [], BEGAN)
    assert found.seconds == pytest.approx(200)
    assert (found.dollars, found.share) == (0.0, 0.0)
    assert found.dollars_in_all == pytest.approx(400 / 3600 * 1.8)


def test_runs_that_the_store_held_before_count_as_done_and_tell_no_rate():
    """One was done long before; another in 100 s since: the two that are left take 200 s."""
    old = done("run-0", started_at=BEGAN - 1e6, finished_at=BEGAN - 9e5)
    found = eta(PLAN, [old, done("run-1")], BEGAN + 100)
    assert found.share == pytest.approx(0.5)
    assert found.seconds == pytest.approx(200)


def test_what_failed_is_not_waited_for_and_what_was_interrupted_is():
    records = [
        done("run-0"),
        done("run-1", status="failed", last_step=50),
        done("run-2", status="diverged", last_step=10),
        done("run-3", status="interrupted", last_step=25),
    ]
    found = eta(PLAN, records, BEGAN + 100)
    assert (found.done, found.running, found.waiting, found.failed) == (1, 0, 1, 2)
    assert found.flops_left == pytest.approx(0.75e12)


def test_a_sweep_that_is_done_has_no_time_left_and_an_empty_one_is_done():
    found = eta(PLAN, [done(run.run_id) for run in RUNS], BEGAN + 1e5)
    assert (found.share, found.seconds) == (1.0, 0.0)
    assert eta(dataclasses.replace(PLAN, runs=()), [], BEGAN).share == 1.0


def test_clocks_that_disagree_and_steps_beyond_the_end_are_harmless():
    found = eta(PLAN, [running("run-0"), done("run-1", steps=0, status="running")], BEGAN - 50, {"run-0": 10**9})
    assert found.flops_done == 1e12
    assert found.seconds > 0
    assert found.dollars == 0.0
