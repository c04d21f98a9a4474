"""Training: learns one batch by heart, same spec same bits, a resumed run equals the uninterrupted one."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from models import Architecture
from models.parametrisation import tensors
from results.record import RunRecord, RunStatus
from results.store import Store
from sweep.checkpoint import Checkpoints, Progressed
from sweep.data.order import Order
from sweep.data.prepare import prepare
from sweep.data.settings import DataSettings
from sweep.execute import Finished, Forked, execute, execute_together
from sweep.launchers.launcher import Job
from sweep.launchers.local import LocalLauncher
from sweep.layout import Layout
from sweep.member import _is_spike
from sweep.place import Place, Work, work_from_json, work_to_json
from sweep.schedule import rate_fractions, weight_decays
from sweep.spec import DataSpec, OptimiserSpec, RunSpec, ScheduleSpec, spec_from_json
from sweep.train import STEPS_PER_DISPATCH, pad_dispatch, program_for
from sweep.trunks import flops_spent, shared_steps, with_trunks

TINY = Architecture(width=16, depth=2, heads=1, mlp_width=32, vocab_size=257)


@pytest.fixture(scope="module")
def corpus(text_folder):
    return prepare(DataSettings("text", ((None, str(text_folder)),), tokenizer="bytes"))


# At a rate four times as high, float32 rounding grows to 1e-2 of the loss within 150 steps; here it stays at 1e-7.
ADAMW = OptimiserSpec("adamw", 2e-3, 0.9, 0.95, 1e-10, 0.1, 1e4, 0.5, 1.0)
WSD = ScheduleSpec("wsd", 15, 0.3)


def make_spec(corpus, steps: int = 150, **changes) -> RunSpec:
    spec = RunSpec(
        architecture=TINY,
        data=DataSpec(corpus.info.source, corpus.info.fingerprint, sequence=16, eval_tokens=1024, seed=0),
        optimiser=ADAMW,
        schedule=WSD,
        steps=steps,
        batch_sequences=4,
        seed=0,
    )
    return dataclasses.replace(spec, **changes)


def place(corpus, store, **changes) -> Place:
    return dataclasses.replace(Place(str(store), str(corpus.folder), "test", "fit", "test", 1e9), **changes)


def test_one_repeated_batch_is_learned_by_heart(corpus):
    spec = make_spec(corpus, optimiser=dataclasses.replace(ADAMW, weight_decay=0.0))
    program = program_for(spec)
    # Random tokens with different first ones: in text, equal beginnings with different ends cannot be learned.
    batch = np.random.default_rng(0).permutation(257)[: 4 * 17].reshape(1, 4, 17).astype(np.uint16)
    tokens = np.repeat(batch, STEPS_PER_DISPATCH, axis=0)
    rates = np.full(STEPS_PER_DISPATCH, 4e-3, np.float32)
    state = program.initial_state(0)
    for _ in range(24):
        state, advanced = program.advance(state, tokens, rates, np.zeros_like(rates), STEPS_PER_DISPATCH)
    assert float(advanced.losses[-1]) < 1e-3


def plain_loss(params, tokens) -> jax.Array:
    """Mean cross-entropy by the module's logits and optax."""
    model = TINY.build(jax.random.key(0))
    for name, value in params.items():
        getattr(model, name)[...] = value
    logits = model(tokens[:, :-1].astype(np.int32))
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:].astype(np.int32)).mean()


def test_one_step_equals_adamw_written_out(corpus):
    """First AdamW step in NumPy from the gradient: direction g/(|g| + eps), decay, rates by width."""
    spec = make_spec(corpus)
    program = program_for(spec)
    state = program.initial_state(0)
    before = {name: np.asarray(value) for name, value in state.params.items()}
    tokens = corpus.batches(Order(0, 16), 0, 1, 4)
    gradient = jax.grad(lambda p: plain_loss(p, tokens[0]))(dict(state.params))
    norm = float(optax.tree.norm(gradient))
    rate = 1e-3
    taken = (tokens, np.full(1, rate, np.float32), np.full(1, 0.1, np.float32))
    after, advanced = program.advance(state, *map(pad_dispatch, taken), 1)
    assert float(advanced.gradient_norms[0]) == pytest.approx(norm, rel=1e-5)
    for name, old in before.items():
        g = np.asarray(gradient[name]) * min(1.0, 1.0 / norm)
        decay = 0.0 if name in ("embedding", "head") else 0.1
        width = 1.0 if name == "embedding" else 64 / TINY.width
        expected = old - rate * (width * g / (np.abs(g) + 1e-10) + decay * old)
        np.testing.assert_allclose(np.asarray(after.params[name]), expected, atol=2e-6)


def test_schedules_rise_hold_and_fall():
    wsd = rate_fractions(ScheduleSpec("wsd", 10, 0.3), 100)
    np.testing.assert_allclose(wsd[:10], np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_allclose(wsd[10:70], 1.0)
    np.testing.assert_allclose(wsd[70:], np.arange(30, 0, -1) / 30, rtol=1e-6)
    cosine = rate_fractions(ScheduleSpec("cosine", 0, 0.3), 1000)
    assert cosine[500] == pytest.approx(0.55, abs=1e-3)
    assert cosine[-1] == pytest.approx(0.1, abs=1e-3)
    assert rate_fractions(ScheduleSpec("linear", 0, 0.3), 1000)[-1] == pytest.approx(1e-3)
    assert rate_fractions(ScheduleSpec("linear", 500, 0.3), 10)[4] == pytest.approx(0.6)  # warm-up: half of the run


def test_weight_decay_falls_with_the_tokens_seen(corpus):
    """0.1 at 1e4 tokens: the root of the ratio elsewhere, and what it is after warm-up before that."""
    decays = weight_decays(make_spec(corpus, steps=1000))  # 64 tokens a step, 15 steps of warm-up
    seen = 64 * np.maximum(np.arange(1, 1001), 15)
    np.testing.assert_allclose(decays, 0.1 * np.sqrt(1e4 / seen), rtol=1e-6)


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


def test_a_run_that_reaches_nan_is_diverged(corpus, tmp_path):
    spec = make_spec(corpus, optimiser=dataclasses.replace(ADAMW, learning_rate=1e3, weight_decay=1e6))
    record = execute(spec, place(corpus, tmp_path))
    assert record.status == RunStatus.DIVERGED
    assert "no gradient was finite in the" in record.sentence
    assert record.loss is None
    assert execute(spec, place(corpus, tmp_path)).attempt == 1  # settled: not trained again


def test_a_program_error_is_a_failed_record(corpus, tmp_path):
    record = execute(make_spec(corpus, schedule=ScheduleSpec("no such schedule", 15, 0.3)), place(corpus, tmp_path))
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


def test_settings_follow_the_horizon():
    from sweep.recipe import at_horizon

    assert at_horizon(5e-3, 1e6, 0.3, 1e6) == 5e-3
    assert at_horizon(5e-3, 1e6, 0.0, 4e6) == 5e-3
    assert at_horizon(0.2, 1e6, 0.5, 4e6) == pytest.approx(0.1)


# -- runs that share work


def test_branches_of_a_trunk_end_at_the_bits_of_runs_of_their_own(corpus, tmp_path):
    specs = [make_spec(corpus, steps=steps) for steps in (90, 200, 330)]
    [trunk] = with_trunks(specs)
    # Each parts where its own decay begins: 30% of its steps before its end.
    assert trunk.spec.steps == 330
    assert [(step, [spec.steps for spec in branches]) for step, branches in trunk.forks] == [(64, [90]), (141, [200])]
    assert shared_steps(specs[0], specs[2]) == 64
    events = []
    shared = place(corpus, tmp_path / "shared")
    [longest] = execute_together([trunk], shared, report=events.append)
    assert [event.run_id for event in events if isinstance(event, Forked)] == [specs[0].run_id, specs[1].run_id]
    branches = [execute(spec, shared) for spec in specs[:2]]
    for spec, record in zip(specs, [*branches, longest], strict=True):
        alone = execute(spec, place(corpus, tmp_path / "alone"))
        assert record.loss == alone.loss
        curves = [Store(tmp_path / name).curve(spec.run_id) for name in ("shared", "alone")]
        assert curves[0]["step"][-1] == spec.steps
        assert curves[0]["step"][0] <= STEPS_PER_DISPATCH  # the trunk's rows come first
    assert [(record.trunk, record.branch_step) for record in branches] == [
        (longest.run_id, 64),
        (longest.run_id, 141),
    ]
    assert longest.trunk is None
    assert longest.flops_spent == longest.flops
    assert branches[1].flops == specs[1].flops  # what the point costs alone
    assert branches[1].flops_spent == pytest.approx(specs[1].flops * 59 / 200)
    assert flops_spent([trunk]) == pytest.approx(specs[0].flops * (330 + 26 + 59) / 90)


def test_a_killed_trunk_has_handed_over_what_it_passed(corpus, tmp_path):
    """Interrupted after its first fork: the branch goes on from there, the trunk too, to the same bits."""
    specs = [make_spec(corpus, steps=steps) for steps in (90, 330)]
    [trunk] = with_trunks(specs)
    here = place(corpus, tmp_path / "cut")
    calls = iter([None, None, *["asked to stop"] * 9])
    [stopped] = execute_together([trunk], here, stopped=lambda: next(calls))
    assert stopped.status == RunStatus.INTERRUPTED
    assert stopped.last_step > 64
    branch = execute(specs[0], here)
    assert branch.branch_step == 64
    [longest] = execute_together([trunk], here)
    alone = [execute(spec, place(corpus, tmp_path / "alone")).loss for spec in specs]
    assert [branch.loss, longest.loss] == alone


def test_runs_with_nothing_in_common_share_no_trunk(corpus):
    other_seed = make_spec(corpus, steps=90, seed=1)
    other_rate = make_spec(corpus, steps=90, optimiser=dataclasses.replace(ADAMW, learning_rate=1e-3))
    cosine = [make_spec(corpus, steps=steps, schedule=ScheduleSpec("cosine", 15, 0.3)) for steps in (90, 200)]
    works = with_trunks([make_spec(corpus, steps=200), other_seed, other_rate, *cosine])
    assert len(works) == 5
    assert not any(work.forks for work in works)


def test_works_survive_their_json(corpus):
    [work] = with_trunks([make_spec(corpus, steps=steps) for steps in (90, 200)])
    assert work_from_json(work_to_json(work)) == work


def test_packed_runs_equal_runs_of_their_own(corpus, tmp_path):
    """Learning rate, seed, weight decay and horizon differ; float32 sums in another order: 1e-5 relative."""
    specs = [
        make_spec(corpus, steps=150),
        make_spec(corpus, steps=150, seed=3),
        make_spec(corpus, steps=100, optimiser=dataclasses.replace(ADAMW, learning_rate=2e-3)),
        make_spec(corpus, steps=70, optimiser=dataclasses.replace(ADAMW, weight_decay=0.5)),
    ]
    packed = execute_together([Work(spec) for spec in specs], place(corpus, tmp_path / "packed"))
    for spec, record in zip(specs, packed, strict=True):
        alone = execute(spec, place(corpus, tmp_path / "alone"))
        assert record.status == RunStatus.DONE
        assert record.packed == 4
        assert record.loss == pytest.approx(alone.loss, rel=1e-5)


def test_a_packed_run_that_diverges_is_not_noticed_by_the_others(corpus, tmp_path):
    wild = make_spec(corpus, optimiser=dataclasses.replace(ADAMW, learning_rate=1e3, weight_decay=1e6))
    tame = make_spec(corpus)
    records = execute_together([Work(wild), Work(tame)], place(corpus, tmp_path / "packed"))
    assert [record.status for record in records] == [RunStatus.DIVERGED, RunStatus.DONE]
    assert records[1].loss == pytest.approx(execute(tame, place(corpus, tmp_path / "alone")).loss, rel=1e-5)


def test_a_packed_run_goes_on_where_it_was_stopped(corpus, tmp_path):
    specs = [make_spec(corpus, steps=200), make_spec(corpus, steps=200, seed=1)]
    calls = iter([None, *["asked to stop"] * 9])
    here = place(corpus, tmp_path)
    stopped = execute_together([Work(spec) for spec in specs], here, stopped=lambda: next(calls))
    assert [record.status for record in stopped] == [RunStatus.INTERRUPTED] * 2
    resumed = execute_together([Work(spec) for spec in specs], here)
    alone = [execute(spec, place(corpus, tmp_path / "alone")).loss for spec in specs]
    assert [record.loss for record in resumed] == pytest.approx(alone, rel=1e-5)


# -- care


def test_a_step_without_a_finite_gradient_changes_nothing_and_is_counted(corpus):
    program = program_for(make_spec(corpus))
    state = program.initial_state(0)
    poisoned = state._replace(params={**state.params, "head": state.params["head"].at[0, 0].set(np.inf)})
    before = jax.tree.map(np.asarray, poisoned)
    tokens = pad_dispatch(corpus.batches(Order(0, 16), 0, 3, 4))
    flat = np.full(STEPS_PER_DISPATCH, 1e-3, np.float32)
    after, _ = program.advance(poisoned, tokens, flat, flat, 3)
    assert int(after.skipped) == 3
    jax.tree.map(np.testing.assert_array_equal, (after.params, after.moments), (before.params, before.moments))


def test_a_rise_far_above_the_rows_before_is_a_spike():
    calm = [3.0, 3.01] * 8
    assert _is_spike(3.5, calm)
    assert not _is_spike(3.04, calm)  # 1.3%, under the least rise
    assert not _is_spike(9.0, calm[:8])  # too early to tell


def test_worse_than_guessing_is_diverged(corpus, tmp_path):
    spec = make_spec(corpus, steps=64, optimiser=dataclasses.replace(ADAMW, learning_rate=3.0))
    record = execute(spec, place(corpus, tmp_path))
    assert record.status == RunStatus.DIVERGED
    assert "that of guessing" in record.sentence


def test_the_curve_tells_rate_decay_and_speed(corpus, tmp_path):
    spec = make_spec(corpus, steps=200)
    record = execute(spec, place(corpus, tmp_path))
    curve = Store(tmp_path).curve(spec.run_id)
    assert curve["weight_decay"][-1] == pytest.approx(0.1 * (1e4 / (200 * 64)) ** 0.5)
    assert np.isfinite(curve["tokens_per_second"][1:]).all()
    assert np.isnan(curve["mfu"]).all()  # no peak is known of a CPU
    assert record.tokens_per_second > 0
    assert (record.spikes, record.skipped_steps) == (0, 0)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize("z_loss", [0.0, 1e-3])
def test_every_optimiser_learns(corpus, tmp_path, kind, z_loss):
    optimiser = dataclasses.replace(ADAMW, kind=kind, z_loss=z_loss)
    record = execute(make_spec(corpus, optimiser=optimiser), place(corpus, tmp_path))
    assert record.status == RunStatus.DONE
    assert record.loss < 3.9


def test_muon_directions_are_orthogonal_for_hidden_matrices_and_adam_elsewhere():
    """Newton-Schulz leaves singular values in 0.7..1.2 (Jordan et al. 2024), times the scale that is stated."""
    from sweep.optimiser import MUON_RMS, directions

    optimiser = dataclasses.replace(ADAMW, kind="muon", clip_norm=1e9)
    transformation = directions(optimiser, TINY)
    rng = np.random.default_rng(0)
    gradients = {name: rng.normal(size=t.shape).astype(np.float32) for name, t in tensors(TINY).items()}
    updates, _ = transformation.update(gradients, transformation.init(gradients), gradients)
    up = np.asarray(updates["mlp_in"])[0]  # 16 -> 32: sqrt(2), over the rate multiplier 64 / 16
    values = np.linalg.svd(up, compute_uv=False) / (MUON_RMS * 8 * 2**0.5 / 4)
    assert 0.6 < values.min() < values.max() < 1.3
    np.testing.assert_allclose(np.abs(updates["embedding"]), 1.0, rtol=1e-4)  # the first Adam direction is a sign
    np.testing.assert_allclose(np.abs(updates["head"]), 1.0, rtol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gradient_accumulation_does_not_change_the_numbers(corpus, tmp_path, precision):
    """float32: sums in another order, 1e-5 relative; bfloat16 rounds to 3 digits: 1%."""
    spec = make_spec(corpus, precision=precision)
    whole = execute(spec, place(corpus, tmp_path / "whole"))
    parts = execute(spec, place(corpus, tmp_path / "parts", layout=Layout(accumulation=2)))
    assert (whole.status, parts.accumulation) == (RunStatus.DONE, 2)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5 if precision == "float32" else 1e-2)
