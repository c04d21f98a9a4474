"""Runs that share work, a trunk or one packed program: each ends as a run of its own does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_runs import ADAMW, byte_corpus, make_spec, place

from results.record import RunStatus
from results.store import Store
from sweep.data.corpus import Corpus
from sweep.events import Forked
from sweep.execute import execute, execute_together
from sweep.place import Work, work_from_json, work_to_json
from sweep.schedule import learning_rates, weight_decays
from sweep.spec import ScheduleSpec
from sweep.train import STEPS_PER_DISPATCH
from sweep.trunks import LEAST_SHARED, flops_spent, shared_steps, with_trunks


@pytest.fixture(scope="module")
def corpus(text_folder) -> Corpus:
    return byte_corpus(text_folder)


@given(
    steps=st.tuples(st.integers(1, 9000), st.integers(1, 9000)),
    kinds=st.sampled_from([("wsd", "wsd"), ("wsd", "linear"), ("cosine", "cosine"), ("linear", "linear")]),
    warmup=st.sampled_from([(0, 0), (100, 100), (6000, 6000), (10, 20)]),
    decay=st.sampled_from([(0.3, 0.3), (0.0, 0.0), (0.7, 0.7), (1.0, 1.0), (0.2, 0.5)]),
    weight_decay=st.sampled_from([(0.1, 0.1), (0.1, 0.2)]),
)
@example(
    steps=(1000, 3000), kinds=("wsd", "wsd"), warmup=(0, 0), decay=(0.7, 0.7), weight_decay=(0.1, 0.1)
)  # 30% of the shorter are shared, near LEAST_SHARED
def test_shared_steps_end_where_whole_schedules_first_differ(corpus, steps, kinds, warmup, decay, weight_decay):
    """What is skipped as surely the same is compared here step by step; and no trunk is missed by the one step looked
    at beforehand."""
    one, other = (
        dataclasses.replace(
            make_spec(corpus, steps=steps[i]),
            schedule=ScheduleSpec(kinds[i], warmup[i], decay[i]),
            optimiser=dataclasses.replace(ADAMW, weight_decay=weight_decay[i]),
        )
        for i in (0, 1)
    )
    length = min(steps)
    same = learning_rates(one)[:length] == learning_rates(other)[:length]
    same &= weight_decays(one)[:length] == weight_decays(other)[:length]
    shared = length if same.all() else int(np.argmin(same))
    assert shared_steps(one, other) == shared
    shorter, longer = sorted((one, other), key=lambda spec: spec.steps)
    if shorter.steps < longer.steps:
        assert (len(with_trunks([one, other])) == 1) == (LEAST_SHARED * shorter.steps <= shared < shorter.steps)


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
