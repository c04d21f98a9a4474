"""Runs that are stopped or killed: what is saved, and that they end where undisturbed ones do."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny_runs import byte_corpus, make_spec, place

from results.record import RunRecord, RunStatus
from results.store import Store
from sweep.checkpoint import Checkpoints, Progressed
from sweep.data.corpus import Corpus
from sweep.events import Finished
from sweep.execute import execute
from sweep.launchers.launcher import Job
from sweep.launchers.local import LocalLauncher
from sweep.place import Place, Work, work_to_json
from sweep.spec import RunSpec
from sweep.train import STEPS_PER_DISPATCH, program_for


@pytest.fixture(scope="module")
def corpus(text_folder) -> Corpus:
    return byte_corpus(text_folder)


def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(corpus, tmp_path):
    spec = make_spec(corpus, steps=200)
    whole = execute(spec, place(corpus, tmp_path / "whole"))
    calls = iter([None, *["asked to stop"] * 9])
    stopped = execute(spec, place(corpus, tmp_path / "cut"), stopped=lambda: next(calls))
    assert stopped.status == RunStatus.INTERRUPTED
    assert stopped.last_step == 2 * STEPS_PER_DISPATCH
    assert "asked to stop" in stopped.sentence
    resumed = execute(spec, place(corpus, tmp_path / "cut"))
    assert (resumed.status, resumed.attempt) == (RunStatus.DONE, 2)
    assert resumed.loss == whole.loss
    curves = [Store(tmp_path / name).curve(spec.run_id) for name in ("whole", "cut")]
    for name in ("step", "tokens", "loss", "learning_rate", "gradient_norm"):
        np.testing.assert_array_equal(curves[0][name], curves[1][name])


def test_a_killed_save_leaves_the_previous_step(corpus, tmp_path):
    spec = make_spec(corpus)
    state = program_for(spec).initial_state(0)
    checkpoints = Checkpoints(tmp_path / "run")
    checkpoints.save(Progressed(64, 1.5), state)
    checkpoints.close()
    (tmp_path / "run" / "128.orbax-checkpoint-tmp").mkdir()
    reopened = Checkpoints(tmp_path / "run")
    at, restored = reopened.restore(state)
    reopened.close()
    assert at == Progressed(64, 1.5)
    assert not (tmp_path / "run" / "128.orbax-checkpoint-tmp").exists()
    jax.tree.map(np.testing.assert_array_equal, restored.params, state.params)


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (ValueError("zarr"), False),
        (FileNotFoundError("gone"), False),
        (OSError(errno.EIO, "input/output error"), True),
        (TimeoutError("slow"), True),
        (MemoryError("large"), True),
    ],
)
def test_only_a_step_whose_content_is_damaged_is_set_aside(corpus, tmp_path, monkeypatch, error, kept):
    """A whole checkpoint must survive a disk that stumbles and a process without memory."""
    state = program_for(make_spec(corpus)).initial_state(0)
    checkpoints = Checkpoints(tmp_path / "run")
    checkpoints.save(Progressed(64), state)
    checkpoints.close()

    def fails(*arguments):
        raise error

    reopened = Checkpoints(tmp_path / "run")
    monkeypatch.setattr(reopened, "_read", fails)
    if kept:
        with pytest.raises(type(error)):
            reopened.restore(state)
    else:
        assert reopened.restore(state) is None
    reopened.close()
    assert (tmp_path / "run" / "64").exists() == kept
    assert bool(reopened.damaged) != kept


@pytest.mark.slow
def test_a_worker_killed_with_minus_nine_is_a_failed_run_and_a_rerun_ends_at_the_same_loss(corpus, tmp_path):
    spec = make_spec(corpus, steps=40_000)
    other = make_spec(corpus, steps=100)
    killed = place(corpus, tmp_path / "killed", checkpoint_seconds=0.2)
    ended: dict[str, str] = {}
    with LocalLauncher(tmp_path / "logs", workers=1) as launcher:
        launcher.submit([Job((Work(spec),), killed), Job((Work(other),), killed)])
        deadline = time.monotonic() + 120
        while len(ended) < 2 and time.monotonic() < deadline:
            for event in launcher.poll(0.1):
                if isinstance(event, Finished):
                    ended[event.run_id] = event.status
            record = Store(killed.store).read(spec.run_id)
            saved = Checkpoints(Store(killed.store).checkpoint_folder(spec.run_id)).reached(1)
            if spec.run_id not in ended and record is not None and record.pid and saved:
                os.kill(record.pid, signal.SIGKILL)
    assert ended == {spec.run_id: RunStatus.FAILED, other.run_id: RunStatus.DONE}
    assert "SIGKILL" in Store(killed.store).read(spec.run_id).sentence
    resumed = in_a_worker(spec, killed, tmp_path / "logs")
    assert resumed.status == RunStatus.DONE
    assert resumed.attempt == 2
    # Workers compile for wider vectors than this process does: the whole run has to be one of theirs too.
    assert resumed.loss == in_a_worker(spec, place(corpus, tmp_path / "whole"), tmp_path / "logs").loss


def in_a_worker(spec: RunSpec, where: Place, logs: Path) -> RunRecord:
    with LocalLauncher(logs, workers=1) as launcher:
        launcher.submit([Job((Work(spec),), where)])
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not any(isinstance(event, Finished) for event in launcher.poll(0.1)):
            pass
    record = Store(where.store).read(spec.run_id)
    assert record is not None
    return record


@pytest.mark.slow
def test_a_worker_without_a_launcher_checkpoints_and_ends(corpus, tmp_path):
    """What happens when the launcher is killed with -9: the pipes close."""
    import json

    spec = make_spec(corpus, steps=10_000_000)
    worker = subprocess.Popen([sys.executable, "-m", "sweep.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    job = {"works": [work_to_json(Work(spec))], "place": dataclasses.asdict(place(corpus, tmp_path))}
    worker.stdin.write(json.dumps(job).encode() + b"\n")
    worker.stdin.flush()
    assert b"progress" in worker.stdout.readline()
    worker.stdin.close()
    worker.stdout.close()
    assert worker.wait(timeout=60) == 0
    record = Store(tmp_path).read(spec.run_id)
    assert record.status == RunStatus.INTERRUPTED
    assert "the launcher is gone" in record.sentence
