"""What else can go wrong with a sweep: each a clear line, and nothing lost. Kills are in test_kills.py."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from faults.commands import command, differences, run
from faults.kills import Sweep

from results.record import RunStatus
from results.store import Store

linux = pytest.mark.skipif(sys.platform != "linux", reason="mounts, signals and /proc of Linux")
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
GRID = ("model.n=3e3,6e3", "data.tokens=4e5")


@pytest.fixture(scope="module")
def whole(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The sweep that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "store"
    run(text_folder, folder, *GRID)
    return Store(folder)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Generator[None]:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@linux
@root
@pytest.mark.slow
@pytest.mark.parametrize("size", ["60k", "500k"])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on_once_there_is_room(text_folder, tmp_path, whole, size):
    disk = tmp_path / "disk"
    with mounted(disk, f"size={size}"):
        message = run(text_folder, disk / "store", *GRID, expected=2)
        assert "No space left on device" in message
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        run(text_folder, disk / "store", *GRID)
        assert differences(Store(disk / "store"), whole) == []


@linux
@root
def test_a_read_only_store_is_one_line_and_nothing_is_trained(text_folder, tmp_path):
    disk = tmp_path / "disk"
    with mounted(disk, "size=1m,ro"):
        message = run(text_folder, disk / "store", *GRID, expected=2)
    assert "cannot be written" in message
    assert "store=FOLDER" in message


# In every Python process of the sweep: the wall clock is what a file says. (libfaketime 0.9.10 breaks time.sleep.)
CLOCK = """
import os, time
_real = time.time
def _jumped():
    with open(os.environ["CLOCK_FILE"]) as file:
        return _real() + float(file.read() or 0)
time.time = _jumped
"""


@pytest.mark.slow
def test_a_clock_that_jumps_back_and_far_ahead_changes_no_outcome(text_folder, tmp_path, whole):
    clock, day = tmp_path / "clock", 86400.0
    clock.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    environment = {**os.environ, "CLOCK_FILE": str(clock), "PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen(
        command(text_folder, tmp_path / "store", *GRID),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for jump in (-10 * day, 400 * day, -3650 * day, 0.0):
        time.sleep(2.0)
        clock.write_text(str(jump))
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    assert differences(Store(tmp_path / "store"), whole) == []


@linux
@pytest.mark.slow
def test_two_sweeps_over_one_store_share_their_runs(text_folder, tmp_path):
    grid = ("model.n=3e3,6e3", "data.tokens=6e5", "seed=0,1,2")
    run(text_folder, tmp_path / "whole", *grid)
    both = [
        subprocess.Popen(
            command(text_folder, tmp_path / "store", *grid), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert differences(Store(tmp_path / "store"), Store(tmp_path / "whole")) == []
    assert {record.attempt for record in Store(tmp_path / "store").records()[0]} == {1}  # nobody trained one twice


@linux
@pytest.mark.slow
def test_a_worker_that_falls_silent_is_ended_and_its_run_tried_again(text_folder, tmp_path, whole):
    grid = (*GRID, "launcher.hang_minutes=0.1")
    sweep = Sweep(text_folder, tmp_path / "store", *grid)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(record.pid for record in Store(tmp_path / "store").records()[0]):
        time.sleep(0.05)
    os.kill(sweep.workers()[0], signal.SIGSTOP)
    assert sweep.process.wait(200) == 0, sweep.output()
    assert "nothing was heard of it for 0.1 minutes (launcher.hang_minutes)" in sweep.output()
    assert "try 2 of 4" in sweep.output()
    assert differences(Store(tmp_path / "store"), whole) == []


@pytest.mark.slow
def test_damaged_parquet_is_named_and_its_runs_are_brought_back(text_folder, tmp_path):
    grid = ("model.n=3e3", "data.tokens=1e5,1.5e5,2e5")
    run(text_folder, tmp_path / "whole", *grid)
    store = tmp_path / "store"
    shutil.copytree(tmp_path / "whole", store)
    files = sorted((store / "runs").glob("*.parquet"))
    for file, content in zip(files, (b"", b"garbage", files[2].read_bytes()[:-20]), strict=True):
        file.write_bytes(content)
    out = run(text_folder, store, *grid).replace("\n", "")
    assert all(f"{file.name} cannot be read" in out for file in files)
    assert differences(Store(store), Store(tmp_path / "whole")) == []


LONGER = ("model.n=6e3", "data.tokens=2e6")


@pytest.fixture(scope="module")
def longer(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("longer") / "store"
    run(text_folder, folder, *LONGER)
    return Store(folder)


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"garbage" * 100, None], ids=["empty", "garbage", "cut short"])
def test_a_damaged_checkpoint_is_set_aside_and_the_run_ends_at_the_same_bits(text_folder, tmp_path, longer, content):
    grid = LONGER
    sweep = Sweep(text_folder, tmp_path / "store", *grid)
    (checkpoints,) = _checkpoints(tmp_path / "store")
    sweep.process.terminate()
    assert sweep.process.wait(60) == 128 + signal.SIGTERM, sweep.output()
    newest = max(_steps(checkpoints), key=lambda folder: int(folder.name))
    for file in [file for file in newest.rglob("*") if file.is_file()]:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if content is None else content)
    run(text_folder, tmp_path / "store", *grid)
    assert differences(Store(tmp_path / "store"), longer) == []
    assert list(checkpoints.glob(".damaged-*"))


def _steps(checkpoints: Path) -> list[Path]:
    return [folder for folder in checkpoints.glob("[0-9]*") if folder.name.isdigit()]


def _checkpoints(store: Path) -> list[Path]:
    """Once two steps of one run are there."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        found = [folder for folder in (store / "checkpoints").glob("*") if len(_steps(folder)) > 1]
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("no checkpoints were written")


@linux
@pytest.mark.slow
def test_a_run_that_is_too_large_is_tried_again_with_twice_the_accumulation(text_folder, tmp_path):
    """What was asked for does not fit into the address space."""
    grid = ["data.sequence=128", "optimiser.batch_sequences=2048", "model.n=1e5", "data.tokens=5e5", "mesh.data=1"]
    grid += ["mesh.memory=1e12"]
    run(text_folder, tmp_path / "whole", *grid)
    limit = 6 * 10**9
    done = subprocess.run(
        ["prlimit", f"--as={limit}", *command(text_folder, tmp_path / "store", *grid, "mesh.accumulation=1")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "RESOURCE_EXHAUSTED" in done.stdout
    (record,) = Store(tmp_path / "store").records()[0]
    (expected,) = Store(tmp_path / "whole").records()[0]
    assert record.accumulation > 1
    assert record.loss == pytest.approx(expected.loss, abs=1e-5)


@pytest.mark.slow
def test_a_text_that_changed_is_refused_with_both_fingerprints(text_folder, tmp_path):
    texts = tmp_path / "texts"
    shutil.copytree(text_folder, texts)
    run(texts, tmp_path / "store", *GRID)
    (before,) = {record.corpus_fingerprint for record in Store(tmp_path / "store").records()[0]}
    (texts / "more.py").write_text("one = 1\n" * 1000 + "# and another line\n" * 300)
    message = run(texts, tmp_path / "store", *GRID, expected=2)
    assert f"it was {before} on" in message
    assert "for 2 runs of this store" in message
    assert "give another store=FOLDER" in message
    assert len(Store(tmp_path / "store").records()[0]) == 2
    run(texts, tmp_path / "other", *GRID)
    (texts / "more.py").unlink()
    assert "nothing to train" in run(texts, tmp_path / "store", *GRID)


@pytest.mark.parametrize("name", ["../../x", "x" * 101, "a/b", "'a b'", "-rf"])
def test_a_hostile_name_is_refused(text_folder, tmp_path, name):
    message = run(text_folder, tmp_path / "store", *GRID, f"name={name}", expected=2)
    assert "allowed are 1 to 100 letters" in message
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_a_rate_that_is_far_too_high_diverges_in_the_record_and_the_others_are_done(text_folder, tmp_path):
    out = run(text_folder, tmp_path / "store", "model.n=3e3", "data.tokens=1e5", "optimiser.learning_rate=2e-3,1e6")
    records, _ = Store(tmp_path / "store").records()
    assert sorted(record.status for record in records) == [RunStatus.DIVERGED, RunStatus.DONE]
    assert "diverged, left out of fits" in out
