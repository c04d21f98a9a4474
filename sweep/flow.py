"""Which run is ready when, and what is tried again? One loop for every launcher, on this machine and inside a job.

A branch waits until its trunk hands it its state, or has ended without doing so. A run whose process died, hung or ran
out of memory is tried again from its last checkpoint: alone if it was packed, and with twice the gradient accumulation
(which does not change the numbers) if memory was short. A run that another process trains is asked for again later.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from fitting.errors import InputError
from results.record import RunStatus
from sweep.events import Cause, Elsewhere, Event, Finished, Forked, Retried
from sweep.interrupt import check
from sweep.launchers.launcher import Job, Launcher
from sweep.place import Place, Work
from sweep.spec import RunSpec

POLL_SECONDS = 0.25
ELSEWHERE_SECONDS = 2.0  # until a run that another process trains is asked for again
AGAIN = (Cause.DIED, Cause.HUNG, Cause.MEMORY, Cause.STALLED)

JobsOf = Callable[[Sequence[Work], Place], list[Job]]


def one_each(works: Sequence[Work], place: Place) -> list[Job]:
    """Every work a job of its own."""
    return [Job((work,), place) for work in works]


class Flow:
    """The jobs of one phase of a sweep, from first to last."""

    def __init__(
        self,
        launcher: Launcher,
        jobs: Sequence[Job],
        restarts: int,
        jobs_of: JobsOf = one_each,
        tell: Callable[[list[Event]], None] = lambda events: None,
        under_way: Sequence[Job] = (),
    ):
        """jobs_of packs the branches that become ready together, on the place of their trunk. Jobs under way are
        followed, and submitted only where they fail."""
        self._launcher, self._restarts, self._jobs_of, self._tell = launcher, restarts, jobs_of, tell
        self._job: dict[str, Job] = {}  # by run: the last that held it
        self._work: dict[str, Work] = {}
        self._waiting: dict[str, tuple[RunSpec, Place]] = {}  # branches
        self._branches: dict[str, list[str]] = {}  # by trunk
        self._tries: dict[str, int] = {}
        self._trunk: dict[str, str] = {}  # by branch
        self._later: list[tuple[float, Job]] = []
        self._open: set[str] = set()
        self.ended: dict[str, Finished] = {}
        for job in [*jobs, *under_way]:
            self._register(job)
        self._first = list(jobs)

    def run(self) -> dict[str, Finished]:
        """Until every run has ended; what became of each."""
        self.start()
        while self._open:
            self.step(POLL_SECONDS)
        return self.ended

    def start(self) -> None:
        """Hands the first jobs over, and returns."""
        self._submit(self._first)

    def step(self, seconds: float) -> None:
        """One look at the launcher, and what follows from it. Raises KeyboardInterrupt where a signal was heard."""
        check()
        told: list[Event] = []
        ready: list[str] = []
        again: dict[str, Job] = {}
        for event in self._launcher.poll(seconds):
            if event.run_id not in self._open:
                continue
            if isinstance(event, Finished):
                event = self._ended(event, again)
                if isinstance(event, Finished):
                    ready += self._branches.get(event.run_id, [])
            elif isinstance(event, Forked):
                ready.append(event.run_id)
            elif isinstance(event, Elsewhere) and event.run_id in self._job:
                self._later.append((time.monotonic() + ELSEWHERE_SECONDS, self._alone(event.run_id)))
            told.append(event)
        self._submit(self._branch_jobs(ready))
        if self._launcher.takes_branches:  # a branch goes with its trunk
            again = {run_id: job for run_id, job in again.items() if self._trunk.get(run_id) not in again}
        self._submit(list(again.values()))
        due = [job for at, job in self._later if at <= time.monotonic()]
        self._later = [(at, job) for at, job in self._later if at > time.monotonic()]
        self._submit(due)
        self._tell(told)

    def _register(self, job: Job) -> None:
        for work in job.works:
            branches = [spec for _, specs in work.forks for spec in specs]
            names = [spec.run_id for spec in branches]
            self._open |= {work.spec.run_id, *names}
            self._work |= {work.spec.run_id: work, **{spec.run_id: Work(spec) for spec in branches}}
            self._trunk |= dict.fromkeys(names, work.spec.run_id)
            self._job |= dict.fromkeys(
                [work.spec.run_id, *names] if self._launcher.takes_branches else job.run_ids, job
            )
            if not self._launcher.takes_branches:
                self._branches[work.spec.run_id] = names
                self._waiting |= {spec.run_id: (spec, job.place) for spec in branches}

    def _submit(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._job |= dict.fromkeys(job.run_ids, job)
            self._work |= {work.spec.run_id: work for work in job.works}
        if jobs:
            self._launcher.submit(jobs)

    def _branch_jobs(self, ready: list[str]) -> list[Job]:
        found = [self._waiting.pop(run_id) for run_id in dict.fromkeys(ready) if run_id in self._waiting]
        jobs: list[Job] = []
        for place in dict.fromkeys(place for _, place in found):
            jobs += self._jobs_of([Work(spec) for spec, mine in found if mine == place], place)
        return jobs

    def _ended(self, event: Finished, again: dict[str, Job]) -> Finished | Retried:
        """Retried, its job in `again`, where it is worth another try and one is left."""
        tries = self._tries.get(event.run_id, 0)
        mendable = event.status == RunStatus.FAILED and event.cause in AGAIN and event.run_id in self._job
        if mendable and tries < self._restarts:
            try:
                job = self._alone(event.run_id, cheaper=event.cause == Cause.MEMORY)
            except InputError as error:
                event = dataclasses.replace(event, sentence=f"{event.sentence}; {error}")
            else:
                self._tries[event.run_id] = tries + 1
                again[event.run_id] = job
                how = f", accumulation {job.place.layout.accumulation}" if event.cause == Cause.MEMORY else ""
                return Retried(event.run_id, f"{event.sentence}; try {tries + 2} of {self._restarts + 1}{how}")
        elif mendable and self._restarts:
            event = dataclasses.replace(event, sentence=f"{event.sentence}; launcher.restarts allows no other try")
        self._open.discard(event.run_id)
        self.ended[event.run_id] = event
        return event

    def _alone(self, run_id: str, cheaper: bool = False) -> Job:
        """This run as a job of its own. Raises InputError where its batch cannot be cut further."""
        job, work = self._job[run_id], self._work[run_id]
        if not cheaper or len(job.works) > 1:  # a pack of one needs less memory already
            return Job((work,), job.place)
        layout = job.place.layout.halved(work.spec.batch_sequences)
        return Job((work,), dataclasses.replace(job.place, layout=layout))
