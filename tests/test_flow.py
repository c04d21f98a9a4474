"""The loop of every launcher: branches wait for their trunks, what can be mended is tried again, the rest is not.

The launcher here is a script of events; real ones run the same loop in test_slurm.py, test_ray.py and faults/.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tiny_runs import byte_corpus, make_spec, place

from results.record import RunStatus
from sweep.events import Cause, Elsewhere, Event, Finished, Forked, Retried
from sweep.flow import Flow
from sweep.launchers.launcher import Job, Launcher
from sweep.layout import Layout
from sweep.place import Work


class Scripted(Launcher):
    """Answers every submitted job with what `react` says of it."""

    accelerated, slots = False, 1

    def __init__(self, react, takes_branches: bool = False):
        self.react, self.takes_branches = react, takes_branches
        self.submitted: list[Job] = []
        self._events: list[Event] = []

    def submit(self, jobs: list[Job]) -> None:
        for job in jobs:
            self.submitted.append(job)
            self._events += self.react(job, len(self.submitted))

    def poll(self, seconds: float) -> list[Event]:
        events, self._events = self._events, []
        return events

    def cancel(self) -> None: ...

    def leave(self) -> str:
        return ""

    def logs(self, run_id: str) -> list[Path]:
        return []

    def adopt(self, run_ids: set[str]) -> set[str]:
        return set()

    def devices_of(self, spec) -> int:
        return 1

    def processes_of(self, spec) -> int:
        return 1

    def device_bytes(self, spec, given):
        return given


@pytest.fixture(scope="module")
def corpus(text_folder):
    return byte_corpus(text_folder)


def done(run_id: str) -> Finished:
    return Finished(run_id, RunStatus.DONE, "trained")


def failed(run_id: str, cause: Cause) -> Finished:
    return Finished(run_id, RunStatus.FAILED, "it failed", cause)


@pytest.mark.parametrize(
    ("cause", "tries"),
    [(Cause.DIED, 3), (Cause.HUNG, 3), (Cause.MEMORY, 3), (Cause.STALLED, 3), (Cause.RAISED, 1), (Cause.NONE, 1)],
)
def test_only_what_another_try_can_mend_is_tried_again(corpus, tmp_path, cause, tries):
    spec = make_spec(corpus, batch_sequences=8)
    launcher = Scripted(lambda job, number: [failed(spec.run_id, cause)])
    ended = Flow(launcher, [Job((Work(spec),), place(corpus, tmp_path))], restarts=2).run()
    assert len(launcher.submitted) == tries
    assert ended[spec.run_id].status == RunStatus.FAILED
    assert ("allows no other try" in ended[spec.run_id].sentence) == (tries == 3)


def test_a_run_that_needs_more_memory_gets_twice_the_accumulation_until_its_batch_is_cut_to_one(corpus, tmp_path):
    spec = make_spec(corpus, batch_sequences=4)
    launcher = Scripted(lambda job, number: [failed(spec.run_id, Cause.MEMORY)])
    ended = Flow(launcher, [Job((Work(spec),), place(corpus, tmp_path))], restarts=9).run()
    assert [job.place.layout.accumulation for job in launcher.submitted] == [1, 2, 4]
    assert "cannot be cut into micro-batches smaller than those of mesh.accumulation 4" in ended[spec.run_id].sentence


def test_a_pack_that_died_is_tried_again_run_by_run(corpus, tmp_path):
    specs = [make_spec(corpus, seed=seed) for seed in range(3)]
    told: list[Event] = []

    def react(job: Job, number: int) -> list[Event]:
        return [failed(r, Cause.MEMORY) if number == 1 else done(r) for r in job.run_ids]

    launcher = Scripted(react)
    pack = Job(tuple(map(Work, specs)), place(corpus, tmp_path))
    ended = Flow(launcher, [pack], restarts=1, tell=told.extend).run()
    assert [len(job.works) for job in launcher.submitted] == [3, 1, 1, 1]
    assert {job.place.layout.accumulation for job in launcher.submitted} == {1}  # alone it needs less already
    assert {event.status for event in ended.values()} == {RunStatus.DONE}
    assert sum(isinstance(event, Retried) for event in told) == 3


@pytest.fixture
def trunk(corpus) -> Work:
    spec = make_spec(corpus, steps=200)
    branches = tuple(make_spec(corpus, steps=steps) for steps in (100, 120))
    return Work(spec, ((70, branches[:1]), (84, branches[1:])))


def test_branches_wait_for_their_state_and_are_released_when_the_trunk_ends_without_giving_it(corpus, tmp_path, trunk):
    first, second = (branch for _, branches in trunk.forks for branch in branches)

    def react(job: Job, number: int) -> list[Event]:
        if job.run_ids == [trunk.spec.run_id]:
            return [Forked(first.run_id), failed(trunk.spec.run_id, Cause.RAISED)]
        return [done(run_id) for run_id in job.run_ids]

    launcher = Scripted(react)
    ended = Flow(launcher, [Job((trunk,), place(corpus, tmp_path))], restarts=1).run()
    assert [job.run_ids for job in launcher.submitted] == [[trunk.spec.run_id], [first.run_id], [second.run_id]]
    assert ended[trunk.spec.run_id].status == RunStatus.FAILED


def test_branches_do_not_start_while_their_trunk_is_tried_again(corpus, tmp_path, trunk):
    def react(job: Job, number: int) -> list[Event]:
        return [failed(r, Cause.DIED) if number == 1 else done(r) for r in job.run_ids]

    launcher = Scripted(react)
    Flow(launcher, [Job((trunk,), place(corpus, tmp_path))], restarts=1).run()
    assert [job.run_ids for job in launcher.submitted][:2] == [[trunk.spec.run_id]] * 2
    assert len(launcher.submitted) == 4


def test_a_launcher_that_takes_branches_gets_them_again_with_their_trunk_or_alone(corpus, tmp_path, trunk):
    names = [trunk.spec.run_id, *(branch.run_id for _, branches in trunk.forks for branch in branches)]

    def react(job: Job, number: int) -> list[Event]:
        if number == 1:  # all die
            return [failed(name, Cause.DIED) for name in names]
        if number == 2:  # the trunk is through, one branch dies
            return [done(names[0]), done(names[1]), failed(names[2], Cause.DIED)]
        return [done(name) for name in job.run_ids]

    launcher = Scripted(react, takes_branches=True)
    ended = Flow(launcher, [Job((trunk,), place(corpus, tmp_path))], restarts=2).run()
    assert [job.run_ids for job in launcher.submitted] == [[names[0]], [names[0]], [names[2]]]
    assert launcher.submitted[1].works[0].forks == trunk.forks
    assert {event.status for event in ended.values()} == {RunStatus.DONE}


def test_a_run_that_is_elsewhere_is_asked_for_again(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("sweep.flow.ELSEWHERE_SECONDS", 0.0)
    spec = make_spec(corpus)
    launcher = Scripted(lambda job, number: [Elsewhere(spec.run_id) if number < 3 else done(spec.run_id)])
    ended = Flow(launcher, [Job((Work(spec),), place(corpus, tmp_path))], restarts=0).run()
    assert len(launcher.submitted) == 3
    assert ended[spec.run_id].status == RunStatus.DONE


def test_half_of_a_batch_that_is_spread_over_devices(corpus):
    layout = Layout(data=2)
    assert layout.halved(8) == dataclasses.replace(layout, accumulation=2)
