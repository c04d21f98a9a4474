"""launcher=slurm against a real Slurm on this machine (slurm_here.py): arrays, preemption, deaths, detaching."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
import slurm_here
from faults.commands import command, differences, run

from results.record import RunStatus
from results.store import Store
from sweep.launchers.ticket import tickets

pytest.importorskip("submitit")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(slurm_here.missing() is not None, reason=str(slurm_here.missing())),
]
GRID = ("model.n=3e3,6e3", "data.tokens=1e5,2e5")
LONG = ("model.n=6e3", "data.tokens=3e6", "data.max_epochs=100", "mesh.data=1", "launcher.checkpoint_seconds=1")
SLURM = ("launcher=slurm", "launcher.workers=2", "launcher.checkpoint_seconds=0.5")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, str]]:
    with slurm_here.slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture(scope="module")
def local(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same runs by the local launcher."""
    folder = tmp_path_factory.mktemp("local") / "store"
    run(text_folder, folder, *GRID, "mesh.data=1")
    return Store(folder)


@pytest.fixture(scope="module")
def long_run(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("long") / "store"
    run(text_folder, folder, *LONG)
    return Store(folder)


def start(text_folder: Path, store: Path, *arguments: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(text_folder, store, *arguments),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(what, seconds: float = 120.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def saved(store: Path) -> bool:
    """Whether some run has a checkpoint that is whole."""
    return any(step.name.isdigit() for step in (store / "checkpoints").glob("*/[0-9]*"))


def test_a_grid_ends_at_the_losses_of_the_local_launcher_and_a_rerun_trains_nothing(
    text_folder, tmp_path, cluster, local
):
    store = tmp_path / "store"
    tiers = ("launcher.tiers={5e3:{hours:2,accelerators:1}}", "launcher.sbatch={comment:mine}")
    out = run(text_folder, store, *GRID, *SLURM, *tiers, environment=cluster)
    assert "4/4 done" in out
    assert differences(Store(store), local) == []
    assert {record.launcher for record in Store(store).records()[0]} == {"slurm"}
    scripts = sorted(file.read_text() for file in (store / "logs" / "slurm").glob("*submission.sh"))
    assert len(scripts) == 2  # one array, or job, for each kind of resources
    larger, smaller = sorted(scripts, key=lambda text: "gpus-per-node" not in text)
    assert "#SBATCH --time=120" in larger
    assert "#SBATCH --gpus-per-node=1" in larger
    assert "gpus" not in smaller
    assert all("#SBATCH --comment=mine" in text for text in scripts)
    assert list((store / "jobs").iterdir()) == []
    assert "nothing to train" in run(text_folder, store, *GRID, *SLURM, environment=cluster)


def test_a_preempted_run_is_saved_requeued_and_ends_at_the_same_bits(text_folder, tmp_path, cluster, long_run):
    store = tmp_path / "store"
    sweep = start(text_folder, store, *LONG, *SLURM, "launcher.sbatch={partition:low}", environment=cluster)
    wait_for(lambda: saved(store))
    for node in slurm_here.NODES:  # somebody with more right takes both nodes
        subprocess.run(
            ["sbatch", "--partition=high", f"--nodelist={node}", "--output=/dev/null", "--wrap=sleep 3"],
            env=cluster,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    out, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, out
    (record,) = Store(store).records()[0]
    assert (record.status, record.attempt) == (RunStatus.DONE, 2)
    log = "".join(file.read_text() for file in (store / "logs" / "slurm").glob("*.err"))
    assert re.search(r"requeued|preempted", log)
    assert differences(Store(store), long_run) == []


def test_a_job_that_is_killed_on_its_node_is_failed_told_and_submitted_again(text_folder, tmp_path, cluster, long_run):
    store = tmp_path / "store"
    sweep = start(text_folder, store, *LONG, *SLURM, environment=cluster)
    wait_for(lambda: saved(store))
    for folder in Path("/proc").glob("[0-9]*"):  # the job's own process, as a node does that runs out of memory
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"submitit.core._submit" in words and str(store).encode() in b"".join(words):
            os.kill(int(folder.name), signal.SIGKILL)
    out, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, out
    assert re.search(r"slurm job \d+ ended as FAILED.*try 2 of 4", out.replace("\n", "")), out
    (record,) = Store(store).records()[0]
    assert (record.status, record.attempt) == (RunStatus.DONE, 2)
    assert differences(Store(store), long_run) == []


@pytest.mark.parametrize("how", ["detach", "killed", "ctrl-c"])
def test_jobs_outlive_the_command_and_the_next_one_follows_them(text_folder, tmp_path, cluster, long_run, how):
    store = tmp_path / "store"
    if how == "detach":
        out = run(text_folder, store, *LONG, *SLURM, "launcher.detach=true", environment=cluster)
        assert re.search(r"1 slurm job go on; the same command follows them again. To end them: scancel \d+", out)
    else:
        sweep = start(text_folder, store, *LONG, *SLURM, environment=cluster)
        wait_for(lambda: saved(store))
        sweep.send_signal(signal.SIGKILL if how == "killed" else signal.SIGINT)
        out, _ = sweep.communicate(timeout=60)
        assert sweep.returncode in (130, -signal.SIGKILL), out
        assert how == "killed" or "scancel" in out
    listed = subprocess.run(
        [sys.executable, "-m", "results", "ls", "--store", store], capture_output=True, text=True, check=True
    ).stdout
    assert "1 run is in 1 job of slurm" in listed
    again = run(text_folder, store, *LONG, *SLURM, environment=cluster)
    assert "1 of 1 runs are under way already: they are followed" in again
    (record,) = Store(store).records()[0]
    assert (record.status, record.attempt) == (RunStatus.DONE, 1)  # it was never started twice
    assert differences(Store(store), long_run) == []


def test_a_run_over_two_nodes_is_joined_by_slurm(text_folder, tmp_path, cluster):
    store = tmp_path / "store"
    grid = ("model.n=3e3", "data.tokens=1e5,2e5", "optimiser.learning_rate=1e-3")  # a hot rate amplifies another order
    run(text_folder, tmp_path / "one", *grid, "mesh.data=1")
    environment = {**cluster, "JAX_COORDINATOR_ADDRESS": "127.0.0.1:29871"}  # the names of emulated nodes lead nowhere
    run(
        text_folder,
        store,
        *grid,
        *("launcher=slurm", "launcher.nodes=2", "launcher.workers=1"),
        environment=environment,
    )
    expected = {record.run_id: record for record in Store(tmp_path / "one").records()[0]}
    records, _ = Store(store).records()
    assert len(records) == 2
    for record in records:
        assert (record.status, record.processes, record.devices) == (RunStatus.DONE, 2, 2)
        assert record.loss == pytest.approx(expected[record.run_id].loss, abs=1e-3)


def test_a_run_over_two_nodes_that_is_warned_is_saved_and_goes_on(text_folder, tmp_path, cluster):
    store = tmp_path / "store"
    environment = {**cluster, "JAX_COORDINATOR_ADDRESS": "127.0.0.1:29872"}
    grid = ("model.n=3e3", "data.tokens=4e5", "optimiser.learning_rate=1e-3", "launcher=slurm", "launcher.nodes=2")
    sweep = start(text_folder, store, *grid, "launcher.checkpoint_seconds=1e5", environment=environment)
    job = wait_for(lambda: _progressed(store))
    subprocess.run(["scancel", "--signal=USR2", job], env=cluster, check=True)
    wait_for(lambda: saved(store))  # by the warning: the next checkpoint is a day away
    out, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, out
    (record,) = Store(store).records()[0]
    assert (record.status, record.attempt, record.processes) == (RunStatus.DONE, 2, 2)
    assert set(Store(store).curve(record.run_id)["attempt"]) == {1.0, 2.0}


def _progressed(store: Path) -> str | None:
    """The job whose run has said how far it is."""
    for ticket in tickets(Store(store)):
        events = store / "jobs" / f"{ticket.name}.events"
        if events.exists() and "progress" in events.read_text():
            return ticket.job
    return None


def test_what_slurm_refuses_is_one_line(text_folder, tmp_path, cluster):
    message = run(
        text_folder,
        tmp_path / "store",
        *GRID,
        *SLURM,
        "launcher.sbatch={partition:nowhere}",
        expected=2,
        environment=cluster,
    )
    assert "Slurm refused the jobs" in message
    assert "correct launcher.sbatch or the resources" in message


def test_without_slurm_the_launcher_says_so(text_folder, tmp_path):
    environment = {**os.environ, "PATH": str(tmp_path)}
    message = subprocess.run(
        command(text_folder, tmp_path / "store", *GRID, *SLURM)[2:], capture_output=True, text=True, env=environment
    ).stderr
    assert message.startswith("error: launcher=slurm needs squeue and sbatch on this machine")


def test_hydras_own_submitit_launcher_runs_job_by_job(text_folder, tmp_path, cluster, local):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    arguments = ["hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=15", "hydra.launcher.cpus_per_task=1"]
    run(
        text_folder,
        tmp_path / "store",
        *GRID,
        *arguments,
        "mesh.data=1",
        f"hydra.sweep.dir={tmp_path / 'jobs'}",
        environment=cluster,
    )
    ours = {record.run_id: record.loss for record in local.records()[0]}
    theirs = {record.run_id: record.loss for record in Store(tmp_path / "store").records()[0]}
    assert theirs == pytest.approx(ours, abs=1e-3)
