"""Tables and progress of sweeps of thousands of runs: short, and as cheap at the last event as at the first."""

from __future__ import annotations

import io
import time

import pytest
from hydra import compose, initialize_config_module
from rich.console import Console

from results.record import RunStatus
from sweep.bundle import bundled
from sweep.config import run_spec, sweep_settings
from sweep.data.manifest import CorpusInfo
from sweep.estimate import estimated_seconds
from sweep.events import Finished, Progress, Started
from sweep.expand import expanded
from sweep.place import Place
from sweep.progress import SweepProgress
from sweep.show import SHOWN, print_plan
from sweep.spec import RunSpec
from sweep.trunks import with_trunks
from sweep.values import Values


def grid(sizes: int, horizons: int, *overrides: str) -> list[RunSpec]:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=list(overrides))
    axes = {
        "model.n": [round(1e4 * 1.04**i) for i in range(sizes)],
        "data.tokens": [2e5 + 1e5 * i for i in range(horizons)],
    }
    corpus = CorpusInfo.stand_in("python_source", 1024)
    return list(expanded(config, sweep_settings(config), axes, corpus).specs)


def planned(specs: list[RunSpec]) -> str:
    console = Console(file=io.StringIO(), width=110)
    print_plan(console, specs, [], {}, estimated_seconds(specs, []), 2)
    return console.file.getvalue()  # ty: ignore[unresolved-attribute]


def test_a_table_of_many_runs_shows_the_first_and_the_last():
    specs = grid(10, 10)
    text = planned(specs)
    assert "… 60 more" in text
    shown = [spec for spec in specs if f"│ {spec.run_id[:8]}" in text]
    assert shown == [*specs[: SHOWN // 2], *specs[-(SHOWN // 2) :]]
    assert "100 of 100 runs to train" in text
    assert "more" not in planned(specs[:SHOWN])


def test_progress_counts_what_is_done_and_left():
    """In 10 s one of four equal runs and half of another: 2.5 are left after 1.5, so 10 x 2.5 / 1.5 = 16.7 s."""
    with initialize_config_module("conf", version_base="1.3"):
        values = Values.of(compose("config", overrides=["model.n=1e4"]))
    corpus = CorpusInfo.stand_in("python_source", 1024)
    specs = [run_spec(values, {"seed": seed}, corpus) for seed in range(4)]
    first, second = specs[0].run_id, specs[1].run_id
    steps = 2 * (specs[0].steps // 2)
    console = Console(file=io.StringIO(), width=200)
    display = SweepProgress(console, {spec.run_id: spec for spec in specs}, "grid")
    display._started -= 10
    display.update([Started(first), Started(second), Progress(second, 64, steps, 3.5, 1000.0)])
    display.update([Progress(second, steps // 2, steps, 3.0, 2000.0), Finished(first, RunStatus.DONE, "")])
    assert "done (1/4 done, 1 running, 2k tokens/s, ETA 0:16)" in console.file.getvalue()  # ty: ignore[unresolved-attribute]
    display.update([Finished(first, RunStatus.FAILED, "it was told twice")])
    assert "(0/4 done, 1 running, 1 failed, 2k" in console.file.getvalue()  # ty: ignore[unresolved-attribute]
    assert (display._done, display._left) == pytest.approx((1.5 * specs[0].flops, 2.5 * specs[0].flops))


@pytest.mark.parametrize("schedule", ["wsd", "cosine"])
def test_what_comes_before_the_first_job_takes_no_time_for_thousands_of_runs(schedule):
    """2,500 runs: trunks, packing, estimate, table, and every event of theirs; 1 s on an idle core."""
    specs = grid(50, 50, f"schedule={schedule}")
    began = time.perf_counter()
    works = with_trunks(specs)
    jobs = bundled(works, lambda spec: Place("s", "c", "sweep", "fit", "local", 60.0), lambda spec: 4)
    assert sum(len(job.works) for job in jobs) == len(works)
    assert (len(works) < len(specs)) == (schedule == "wsd")
    planned(specs)
    console = Console(file=io.StringIO(), width=200)
    display = SweepProgress(console, {spec.run_id: spec for spec in specs}, "grid")
    for spec in specs:
        display.update([Started(spec.run_id)])
        display.update([Finished(spec.run_id, RunStatus.DONE, "")])
    assert "2500/2500 done" in console.file.getvalue()  # ty: ignore[unresolved-attribute]
    assert time.perf_counter() - began < 20
