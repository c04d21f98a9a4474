"""launcher=ray against a real Ray on this machine: the same losses, a killed worker, resources, a failing neighbour."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from faults.commands import differences, run
from faults.kills import Sweep

from results.record import RunStatus
from results.store import Store

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
GRID = ("model.n=3e3,6e3", "data.tokens=1e5,1e6", "mesh.data=1")
RAY = ("launcher=ray", "launcher.workers=2", "launcher.checkpoint_seconds=0.5")


@pytest.fixture(scope="module")
def local(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same runs by the local launcher."""
    folder = tmp_path_factory.mktemp("local") / "store"
    run(text_folder, folder, *GRID)
    return Store(folder)


def test_a_grid_with_a_killed_task_and_a_killed_worker_ends_at_the_losses_of_the_local_launcher(
    text_folder, tmp_path, local
):
    store = tmp_path / "store"
    sweep = Sweep(text_folder, store, *GRID, *RAY, "launcher.job_minutes=0")
    killed: list[str] = []
    deadline = time.monotonic() + 240
    while sweep.process.poll() is None and time.monotonic() < deadline:
        running = [record for record in Store(store).records()[0] if record.status == RunStatus.RUNNING and record.pid]
        for record in running:
            saved = any(step.name.isdigit() for step in (store / "checkpoints" / record.run_id).glob("[0-9]*"))
            if not saved or record.run_id in killed:
                continue
            worker = record.pid if not killed else _parent(record.pid)  # our worker; then the process of Ray's task
            if len(killed) < 2 and worker is not None:
                os.kill(worker, signal.SIGKILL)
                killed.append(record.run_id)
        time.sleep(0.05)
    assert sweep.process.wait(240) == 0, sweep.output()
    assert len(killed) == 2
    said = sweep.output().replace("\n", " ")
    assert "ray job" in said  # the second death was Ray's to tell
    assert "try 2 of 4" in said
    assert differences(Store(store), local) == []
    assert {record.launcher for record in Store(store).records()[0]} == {"ray"}


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def test_a_run_that_fails_hides_no_other_and_ctrl_c_saves_all(text_folder, tmp_path):
    store = tmp_path / "store"
    grid = ("model.n=3e3", "data.tokens=1e5,4e6", "data.max_epochs=100", "optimiser.learning_rate=2e-3,1e6")
    sweep = Sweep(text_folder, store, *grid, *RAY)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        statuses = [record.status for record in Store(store).records()[0]]
        if statuses.count(RunStatus.DIVERGED) == 2 and RunStatus.RUNNING in statuses:
            break
        time.sleep(0.1)
    sweep.process.send_signal(signal.SIGINT)
    assert sweep.process.wait(120) == 130, sweep.output()
    assert "the same command carries on" in sweep.output()
    run(text_folder, store, *grid, *RAY)
    assert sorted(record.status for record in Store(store).records()[0]) == ["diverged"] * 2 + ["done"] * 2


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("launcher.address=127.0.0.1:1", "no Ray answers at 127.0.0.1:1"),
        ("launcher.nodes=2", "launcher.nodes is 2; allowed with launcher=ray is 1"),
        ("launcher.detach=true", "launcher.detach is true; allowed with launcher=ray is false"),
        ("launcher.resources={TPU:-4}", "launcher.resources[TPU] is -4"),
    ],
)
def test_bad_values_are_one_line(text_folder, tmp_path, argument, words):
    assert words in run(text_folder, tmp_path / "store", *GRID, *RAY, argument, expected=2)
