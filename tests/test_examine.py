"""Evaluations beside training: the device is never kept waiting, and what they say is what a waiting one would say."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from results.record import RunStatus
from results.store import Store
from sweep import examine, execute
from sweep.pack import Pack
from sweep.place import Place, Work
from sweep.queued import BLOCKS_KEPT_ON_CPU, QueuedLosses
from tests.tiny_runs import byte_corpus, make_spec

STEPS = 96
EVALUATED = (24, 48, 96)


@pytest.fixture(scope="module")
def corpus(text_folder):
    return byte_corpus(text_folder)


@pytest.fixture
def place(corpus, tmp_path) -> Place:
    """Three evaluations with tasks; a checkpoint at every pause."""
    return Place(
        str(tmp_path / "store"),
        str(corpus.folder),
        "test",
        "fit",
        "test",
        0.0,
        evaluations=3,
        tasks=("arithmetic",),
        questions=10,
        evaluation_cost=100.0,
    )


def said(place: Place, run_id: str) -> dict[tuple, float]:
    rows = Store(place.store).measurements(run_id)
    return {(row.step, row.kind, row.name, row.metric): row.value for row in rows}


def test_the_next_steps_are_queued_before_an_evaluation_is_read(corpus, place, monkeypatch):
    happened = []

    def noting(owner, name):
        original = getattr(owner, name)

        def wrapped(*args, **named):
            if not happened or happened[-1] != name:
                happened.append(name)
            return original(*args, **named)

        monkeypatch.setattr(owner, name, wrapped)

    noting(examine.Examiner, "ask")
    noting(Pack, "advance")
    noting(QueuedLosses, "read")
    record = execute.execute(make_spec(corpus, STEPS), dataclasses.replace(place, checkpoint_seconds=1e9))
    assert record.status == RunStatus.DONE, record.sentence
    assert happened == ["advance", "ask", "advance", "read", "ask", "advance", "read", "ask", "read"]


def test_an_evaluation_says_what_one_of_a_copy_says(corpus, place, tmp_path, monkeypatch):
    """The state is donated to the next steps while its evaluation is queued: nothing may be lost by that."""
    spec = make_spec(corpus, STEPS)
    execute.execute(spec, place)
    beside = said(place, spec.run_id)
    assert sorted({step for step, *_ in beside}) == list(EVALUATED)
    ask = examine.Examiner.ask

    def of_a_copy(self, member, program, params, held_out):
        asked = ask(self, member, program, jax.tree.map(lambda leaf: np.array(leaf), params), held_out)
        asked.text.read()
        return asked

    monkeypatch.setattr(examine.Examiner, "ask", of_a_copy)
    other = dataclasses.replace(place, store=str(tmp_path / "other"))
    execute.execute(spec, other)
    assert said(other, spec.run_id) == beside


def test_packed_runs_are_evaluated_as_each_is_alone(corpus, place, tmp_path):
    specs = [make_spec(corpus, steps, seed=seed) for seed, steps in enumerate((STEPS, STEPS, STEPS // 2))]
    execute.execute_together([Work(spec) for spec in specs], place)
    other = dataclasses.replace(place, store=str(tmp_path / "alone"))
    for spec in specs:
        execute.execute(spec, other)
        packed, alone = said(place, spec.run_id), said(other, spec.run_id)
        assert packed.keys() == alone.keys()
        losses = [key for key in packed if key[-1] == "loss"]
        np.testing.assert_allclose([packed[key] for key in losses], [alone[key] for key in losses], rtol=2e-5)


def test_an_evaluation_that_cannot_be_written_is_made_again(corpus, place, monkeypatch):
    """The checkpoint of a pause is not saved before what was measured at it."""
    spec = make_spec(corpus, STEPS)
    write = Store.write_measurements

    def full(self, run_id, measurements):
        if measurements[0].step == EVALUATED[1]:
            raise OSError(28, "No space left on device")
        write(self, run_id, measurements)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "write_measurements", full)
        record = execute.execute(spec, place)
    assert (record.status, record.sentence) == (RunStatus.FAILED, "OSError: [Errno 28] No space left on device")
    record = execute.execute(spec, place)
    assert record.status == RunStatus.DONE, record.sentence
    assert sorted({step for step, *_ in said(place, spec.run_id)}) == list(EVALUATED)


def test_a_run_at_its_end_is_not_failed_by_one_that_trains_on(corpus, place, monkeypatch):
    specs = [make_spec(corpus, steps, seed=steps) for steps in (STEPS // 2, STEPS)]
    advance = Pack.advance

    def broken(self, batches, count):
        if len(batches) == 1:
            raise OSError(5, "Input/output error")
        return advance(self, batches, count)

    monkeypatch.setattr(Pack, "advance", broken)
    short, longer = execute.execute_together([Work(spec) for spec in specs], place)
    assert (short.status, longer.status) == (RunStatus.DONE, RunStatus.FAILED)
    assert short.loss is not None
    assert longer.sentence == "OSError: [Errno 5] Input/output error"


def test_a_short_run_of_many_evaluations_has_a_speed(corpus, place):
    """Every dispatch but the first lies beside an evaluation."""
    record = execute.execute(make_spec(corpus, STEPS), place)
    assert record.tokens_per_second > 0
    assert record.eval_seconds > 0


def test_a_device_keeps_so_many_blocks_and_no_more():
    """Also: every window's losses come back in order, the padding of each block does not."""
    queued = QueuedLosses()
    for number in range(5):
        queued.add(jax.numpy.full((4, 2), float(number)), 3 if number else 1)
        assert len(queued._queued) <= BLOCKS_KEPT_ON_CPU
    losses = queued.read()
    assert losses[:, 0].tolist() == [0.0, *np.repeat(np.arange(1.0, 5.0), 3)]
    assert queued.read().shape == losses.shape
