"""Training: learns one batch by heart, same spec same bits, a resumed run equals the uninterrupted one."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import optax
import pytest

from models import Architecture
from results.record import RunStatus
from results.store import Store
from sweep.checkpoint import Checkpoints
from sweep.data.prepare import DataSettings, prepare
from sweep.execute import Place, execute
from sweep.launchers.launcher import Finished, Job
from sweep.launchers.local import LocalLauncher
from sweep.schedule import rate_fractions
from sweep.spec import DataSpec, OptimiserSpec, RunSpec, ScheduleSpec, spec_from_json
from sweep.train import STEPS_PER_DISPATCH, pad_dispatch, program_for

TINY = Architecture(width=16, depth=2, heads=1, mlp_width=32, vocab_size=257)


@pytest.fixture(scope="module")
def corpus(text_folder):
    return prepare(DataSettings("text", str(text_folder), "bytes", 257))


def make_spec(corpus, steps: int = 150, **changes) -> RunSpec:
    spec = RunSpec(
        architecture=TINY,
        data=DataSpec(corpus.info.source, corpus.info.fingerprint, sequence=16, eval_tokens=1024, seed=0),
        optimiser=OptimiserSpec(8e-3, 0.9, 0.95, 1e-10, 0.1, 1.0),
        schedule=ScheduleSpec("wsd", 0.1, 0.3),
        steps=steps,
        batch_sequences=4,
        seed=0,
    )
    return dataclasses.replace(spec, **changes)


def place(corpus, store, **changes) -> Place:
    return dataclasses.replace(Place(str(store), str(corpus.folder), "test", "fit", "test", 1e9), **changes)


def test_one_repeated_batch_is_learned_by_heart(corpus):
    spec = make_spec(corpus, optimiser=OptimiserSpec(4e-3, 0.9, 0.95, 1e-10, 0.0, 1.0))
    program = program_for(spec)
    # Random tokens with different first ones: in text, equal beginnings with different ends cannot be learned.
    batch = np.random.default_rng(0).permutation(257)[: 4 * 17].reshape(1, 4, 17).astype(np.uint16)
    tokens = np.repeat(batch, STEPS_PER_DISPATCH, axis=0)
    rates = np.full(STEPS_PER_DISPATCH, 4e-3, np.float32)
    state = program.initial_state(0)
    for _ in range(24):
        state, advanced = program.advance(state, tokens, rates, STEPS_PER_DISPATCH)
    assert float(advanced.losses[-1]) < 1e-3


def test_one_step_equals_adamw_written_out(corpus):
    """First AdamW step in NumPy from the gradient: direction g/(|g| + eps), decay, rates by width."""
    spec = make_spec(corpus)
    program = program_for(spec)
    state = program.initial_state(0)
    before = {name: np.asarray(value) for name, value in state.params.items()}
    tokens = corpus.batches(0, 0, 1, 4, 16)
    from sweep.train import _loss

    gradient = jax.grad(lambda p: _loss(TINY, p, tokens[0]).mean())(dict(state.params))
    norm = float(optax.tree.norm(gradient))
    rate = 1e-3
    after, advanced = program.advance(state, pad_dispatch(tokens), pad_dispatch(np.full(1, rate, np.float32)), 1)
    assert float(advanced.gradient_norms[0]) == pytest.approx(norm, rel=1e-5)
    for name, old in before.items():
        g = np.asarray(gradient[name]) * min(1.0, 1.0 / norm)
        decay = 0.0 if name in ("embedding", "head") else 0.1
        width = 1.0 if name == "embedding" else 64 / TINY.width
        expected = old - rate * width * (g / (np.abs(g) + 1e-10) + decay * old)
        np.testing.assert_allclose(np.asarray(after.params[name]), expected, atol=2e-6)


def test_schedules_rise_hold_and_fall():
    wsd = rate_fractions(ScheduleSpec("wsd", 0.1, 0.3), 100)
    np.testing.assert_allclose(wsd[:10], np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_allclose(wsd[10:70], 1.0)
    np.testing.assert_allclose(wsd[70:], np.arange(30, 0, -1) / 30, rtol=1e-6)
    cosine = rate_fractions(ScheduleSpec("cosine", 0.0, 0.3), 1000)
    assert cosine[500] == pytest.approx(0.55, abs=1e-3)
    assert cosine[-1] == pytest.approx(0.1, abs=1e-3)
    assert rate_fractions(ScheduleSpec("linear", 0.0, 0.3), 1000)[-1] == pytest.approx(1e-3)


def test_same_spec_same_bits(corpus, tmp_path):
    spec = make_spec(corpus)
    first = execute(spec, place(corpus, tmp_path / "a"))
    second = execute(spec, place(corpus, tmp_path / "b"))
    assert first.status == RunStatus.DONE
    assert first.loss == second.loss
    assert first.loss < np.log(257) - 1


def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(corpus, tmp_path):
    spec = make_spec(corpus, steps=200)
    whole = execute(spec, place(corpus, tmp_path / "whole"))
    calls = iter([None, "asked to stop"])
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
    checkpoints.save(64, state, 1.5)
    checkpoints.close()
    (tmp_path / "run" / "128.orbax-checkpoint-tmp").mkdir()
    reopened = Checkpoints(tmp_path / "run")
    step, restored, seconds = reopened.restore(state)
    reopened.close()
    assert (step, seconds) == (64, 1.5)
    assert not (tmp_path / "run" / "128.orbax-checkpoint-tmp").exists()
    jax.tree.map(np.testing.assert_array_equal, restored.params, state.params)


def test_a_run_that_reaches_nan_is_diverged(corpus, tmp_path):
    spec = make_spec(corpus, optimiser=OptimiserSpec(1e3, 0.9, 0.95, 1e-10, 1e3, 1.0))
    record = execute(spec, place(corpus, tmp_path))
    assert record.status == RunStatus.DIVERGED
    assert "not finite at step" in record.sentence
    assert record.loss is None
    assert execute(spec, place(corpus, tmp_path)).attempt == 1  # settled: not trained again


def test_a_program_error_is_a_failed_record(corpus, tmp_path):
    record = execute(make_spec(corpus, schedule=ScheduleSpec("no such schedule", 0.1, 0.3)), place(corpus, tmp_path))
    assert record.status == RunStatus.FAILED
    assert "no such schedule" in record.sentence
    assert Store(tmp_path).read(record.run_id) == record


def test_spec_json_round_trip(corpus):
    spec = make_spec(corpus)
    assert spec_from_json(spec.canonical_json) == spec
    assert spec_from_json(spec.canonical_json).run_id == spec.run_id
    assert make_spec(corpus, seed=1).run_id != spec.run_id


@pytest.mark.slow
def test_a_worker_killed_with_minus_nine_is_a_failed_run_and_a_rerun_ends_at_the_same_loss(corpus, tmp_path):
    spec = make_spec(corpus, steps=40_000)
    other = make_spec(corpus, steps=100)
    killed = place(corpus, tmp_path / "killed", checkpoint_seconds=0.2)
    ended: dict[str, str] = {}
    with LocalLauncher(tmp_path / "logs", workers=1) as launcher:
        launcher.submit([Job(spec, killed), Job(other, killed)])
        deadline = time.monotonic() + 120
        while len(ended) < 2 and time.monotonic() < deadline:
            for event in launcher.poll(0.1):
                if isinstance(event, Finished):
                    ended[event.run_id] = event.status
            record = Store(killed.store).read(spec.run_id)
            saved = any((tmp_path / "killed" / "checkpoints" / spec.run_id).glob("[0-9]*/_CHECKPOINT_METADATA"))
            if spec.run_id not in ended and record is not None and record.pid and saved:
                os.kill(record.pid, signal.SIGKILL)
    assert ended == {spec.run_id: RunStatus.FAILED, other.run_id: RunStatus.DONE}
    assert "SIGKILL" in Store(killed.store).read(spec.run_id).sentence
    resumed = execute(spec, killed)
    assert resumed.status == RunStatus.DONE
    assert resumed.attempt == 2
    assert resumed.loss == execute(spec, place(corpus, tmp_path / "whole")).loss


@pytest.mark.slow
def test_a_worker_without_a_launcher_checkpoints_and_ends(corpus, tmp_path):
    """What happens when the launcher is killed with -9: the pipes close."""
    import json

    spec = make_spec(corpus, steps=10_000_000)
    worker = subprocess.Popen([sys.executable, "-m", "sweep.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    job = {"spec": spec.canonical_json, "place": dataclasses.asdict(place(corpus, tmp_path))}
    worker.stdin.write(json.dumps(job).encode() + b"\n")
    worker.stdin.flush()
    assert b"progress" in worker.stdout.readline()
    worker.stdin.close()
    worker.stdout.close()
    assert worker.wait(timeout=60) == 0
    record = Store(tmp_path).read(spec.run_id)
    assert record.status == RunStatus.INTERRUPTED
    assert "the launcher is gone" in record.sentence


def test_settings_follow_the_horizon():
    from sweep.recipe import at_horizon

    assert at_horizon(5e-3, 1e6, 0.3, 1e6) == 5e-3
    assert at_horizon(5e-3, 1e6, 0.0, 4e6) == 5e-3
    assert at_horizon(0.2, 1e6, 0.5, 4e6) == pytest.approx(0.1)
