"""Runs that fit on no layout of the devices here are left out with a sentence; one alone is refused, as is a target."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from fitting.errors import InputError
from sweep.config import sweep_settings
from sweep.data.manifest import CorpusInfo
from sweep.designs.limits import Room as RoomProtocol
from sweep.expand import Expanded, expanded
from sweep.launchers.local import LocalLauncher
from sweep.room import Room
from sweep.smallest import fitting_layout
from sweep.spec import RunSpec

CORPUS = CorpusInfo.stand_in("python_source", 1024)


def room(*overrides: str, settled: tuple[str, ...] = ()) -> RoomProtocol:
    with initialize_config_module("conf", version_base="1.3"):
        settings = sweep_settings(compose("config", overrides=list(overrides)))
    return Room(LocalLauncher(Path("logs"), workers=1, devices=1), settings.mesh, settled)


def grid(sizes: list[float], here: RoomProtocol, *overrides: str) -> Expanded:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=list(overrides))
    return expanded(config, sweep_settings(config), {"model.n": sizes, "seed": [0, 1]}, CORPUS, lambda count: here)


def n_of(spec: RunSpec) -> int:
    return spec.architecture.count(context=1).non_embedding


def test_runs_without_room_are_left_out_with_the_largest_that_fits():
    """Parameters, moments (twice on CPUs) and gradients of float32 are more than 16 bytes a parameter."""
    runs = grid([1e5, 1e6, 1e9, 2e9], room("mesh.memory=1e9"))
    assert sorted({round(n_of(spec), -4) for spec in runs.specs}) == [100_000, 1_000_000]
    assert len(runs.specs) == 4
    (sentence,) = runs.left_out
    assert sentence.startswith("4 runs need more memory than a run has here, 1 device of 1 GB (mesh.memory): left out")
    assert sentence.endswith(f"the largest that fits is N = {max(map(n_of, runs.specs)):.3g}")


def test_where_nothing_fits_the_smallest_is_refused_with_what_would():
    with pytest.raises(InputError, match=r"^a model of 1e\+09 parameters needs .* mesh\.memory is 1 GB\. .*fits"):
        grid([1e9, 2e9], room("mesh.memory=1e9"))


def test_unknown_memory_leaves_nothing_out():
    class Anything:
        def fits(self, spec: RunSpec) -> bool:
            return fitting_layout(spec, sweep_settings_mesh, 1, None) is not None

        def require(self, spec: RunSpec) -> None: ...

        def words(self, spec: RunSpec) -> str:
            return ""

    with initialize_config_module("conf", version_base="1.3"):
        sweep_settings_mesh = sweep_settings(compose("config")).mesh
    assert len(grid([1e5, 1e12], Anything(), "optimiser.batch_sequences=4096").specs) == 4


def test_what_the_store_holds_needs_no_room():
    (large,) = {spec for spec in grid([1e9], room("mesh.memory=1e12")).specs if spec.seed == 0}
    runs = grid([1e5, 1e9], room("mesh.memory=1e9", settled=(large.run_id,)))
    assert large in runs.specs
    assert len(runs.specs) == 3
    room("mesh.memory=1e9", settled=(large.run_id,)).require(large)


def test_the_total_is_of_runs_that_are_trained():
    fits = grid([1e5], room("mesh.memory=1e9")).specs
    total = sum(spec.flops for spec in fits)
    assert grid([1e5, 1e9], room("mesh.memory=1e9"), f"design.max_flops={total}").specs == fits


def test_runs_that_need_the_same_are_looked_at_once(monkeypatch):
    import sweep.smallest

    looks = []
    needed = sweep.smallest._needed
    monkeypatch.setattr(sweep.smallest, "_needed", lambda spec, *rest: looks.append(spec) or needed(spec, *rest))
    runs = grid([111e3, 222e3, 333e3], room("mesh.memory=2e9"), "design.axes={data.tokens: [1e6, 2e6, 3e6, 4e6]}")
    assert len(runs.specs) == 24
    assert len(looks) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model.n=1e9"], "a model of 1e+09 parameters needs"),
        (["-m", "model.n=1e4,2e4", "design.target={model.n: 1e9}"], "a model of 1e+09 parameters needs"),
        (["mesh.data=3"], "optimiser.batch_sequences is 4 with mesh.data 3"),
    ],
)
def test_one_run_and_a_target_are_refused_before_anything_is_trained(text_folder, tmp_path, arguments, words):
    given = ["data=text", f"data.path={text_folder}", "data.tokenizer=bytes", "data.tokens=2e4", "mesh.memory=1e9"]
    line = [sys.executable, "-m", "sweep", *given, f"store={tmp_path / 'store'}", "dry_run=true", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {words}")
    assert len(done.stderr.strip().splitlines()) == 1
