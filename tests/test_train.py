"""Training: learns one batch by heart, one step written out, same spec same bits, what is diverged or failed."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import optax
import pytest
from tiny_runs import ADAMW, TINY, byte_corpus, make_spec, place

from results.record import RunStatus
from results.store import Store
from sweep.data.corpus import Corpus
from sweep.data.order import Order
from sweep.execute import execute
from sweep.layout import Layout
from sweep.member import _is_spike
from sweep.spec import ScheduleSpec, spec_from_json
from sweep.train import STEPS_PER_DISPATCH, pad_dispatch, program_for


@pytest.fixture(scope="module")
def corpus(text_folder) -> Corpus:
    return byte_corpus(text_folder)


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


def test_same_spec_same_bits(corpus, tmp_path):
    spec = make_spec(corpus)
    first = execute(spec, place(corpus, tmp_path / "a"))
    second = execute(spec, place(corpus, tmp_path / "b"))
    assert first.status == RunStatus.DONE
    assert first.loss == second.loss
    assert first.loss < np.log(257) - 1


def test_a_run_that_reaches_nan_is_diverged(corpus, tmp_path):
    spec = make_spec(corpus, optimiser=dataclasses.replace(ADAMW, learning_rate=1e3, weight_decay=1e6))
    record = execute(spec, place(corpus, tmp_path))
    assert record.status == RunStatus.DIVERGED
    assert "no gradient was finite in the" in record.sentence
    assert record.loss is None
    assert execute(spec, place(corpus, tmp_path)).attempt == 1  # settled: not trained again


def test_worse_than_guessing_is_diverged(corpus, tmp_path):
    spec = make_spec(corpus, steps=64, optimiser=dataclasses.replace(ADAMW, learning_rate=3.0))
    record = execute(spec, place(corpus, tmp_path))
    assert record.status == RunStatus.DIVERGED
    assert "that of guessing" in record.sentence


def test_a_program_error_is_a_failed_record(corpus, tmp_path):
    record = execute(make_spec(corpus, schedule=ScheduleSpec("no such schedule", 15, 0.3)), place(corpus, tmp_path))
    assert record.status == RunStatus.FAILED
    assert "no such schedule" in record.sentence
    assert Store(tmp_path).read(record.run_id) == record


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


def test_the_curve_tells_rate_decay_and_speed(corpus, tmp_path):
    spec = make_spec(corpus, steps=200)
    record = execute(spec, place(corpus, tmp_path))
    curve = Store(tmp_path).curve(spec.run_id)
    assert curve["weight_decay"][-1] == pytest.approx(0.1 * (1e4 / (200 * 64)) ** 0.5)
    assert np.isfinite(curve["tokens_per_second"][1:]).all()
    assert np.isnan(curve["mfu"]).all()  # no peak is known of a CPU
    assert record.tokens_per_second > 0
    assert (record.spikes, record.skipped_steps) == (0, 0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gradient_accumulation_does_not_change_the_numbers(corpus, tmp_path, precision):
    """float32: sums in another order, 1e-5 relative; bfloat16 rounds to 3 digits: 1%."""
    spec = make_spec(corpus, precision=precision)
    whole = execute(spec, place(corpus, tmp_path / "whole"))
    parts = execute(spec, place(corpus, tmp_path / "parts", layout=Layout(accumulation=2)))
    assert (whole.status, parts.accumulation) == (RunStatus.DONE, 2)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5 if precision == "float32" else 1e-2)


def test_spec_json_round_trip(corpus):
    spec = make_spec(corpus)
    assert spec_from_json(spec.canonical_json) == spec
    assert spec_from_json(spec.canonical_json).run_id == spec.run_id
    assert make_spec(corpus, seed=1).run_id != spec.run_id
