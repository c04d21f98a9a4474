"""What every cluster launcher shares: tickets are written, handed over, followed through files, and buried when dead.

The command may end at any time. Jobs go on, tickets tell the next command what they hold, and claims (sweep/claim.py)
keep a run from being trained twice where a ticket was handed over and not written down.
"""

from __future__ import annotations

import abc
import dataclasses
import heapq
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from results.record import RunRecord, RunStatus
from results.store import Store
from sweep.deaths import bury, last_words
from sweep.estimate import estimated_seconds
from sweep.events import Cause, Event, Finished, Retried, Waiting
from sweep.launchers.launcher import Job, Launcher
from sweep.launchers.settings import ClusterSettings, LauncherSettings, Resources
from sweep.launchers.ticket import (
    EventLog,
    Owner,
    Ticket,
    drop_ticket,
    new_ticket,
    tickets,
    tickets_folder,
    write_ticket,
)
from sweep.memory import HOST_RESERVE
from sweep.spec import RunSpec

LOOK_SECONDS = 2.0  # between two questions to the cluster
SETTLE_SECONDS = 6.0  # a job must be gone for so long: it may be on its way back into the queue, its files on theirs
SLOTS = 100_000  # where nobody limits the jobs at once


@dataclass(frozen=True)
class Ended:
    """How a job of the cluster came to its end, in its words."""

    sentence: str
    cause: Cause  # NONE where somebody cancelled it


@dataclass
class _Open:
    """A ticket that is under way."""

    ticket: Ticket
    events: EventLog
    unfinished: set[str]
    gone_since: float | None = None


class ClusterLauncher(Launcher):
    """Concrete ones hand tickets over, ask how their jobs stand, and end them."""

    takes_branches = True
    outlive: bool  # whether jobs go on when the command that started them ends
    knows_its_jobs: bool = True  # whether the cluster can be asked how they stand

    def __init__(self, settings: LauncherSettings, cluster: ClusterSettings, store: Store):
        self.settings, self.cluster, self.store = settings, cluster, store
        self.accelerated = cluster.base.accelerators > 0
        self.slots = settings.workers or SLOTS
        self.follows = not cluster.detach
        self._open: dict[str, _Open] = {}
        self._ticket_of: dict[str, Ticket] = {}  # by run: the last that held it
        self._looked = -math.inf
        self.stuck: dict[str, str] = {}  # jobs that will not start by themselves: why
        self._said: set[str] = set()

    # -- what a cluster does

    @abc.abstractmethod
    def _hand_over(self, tickets: list[Ticket]) -> list[str]:
        """Starts a job for each; they ask for the same resources. Returns what the cluster calls them."""

    @abc.abstractmethod
    def _ended(self, jobs: list[str]) -> dict[str, Ended]:
        """Those of the jobs that are over and will not be started again; none where the cluster does not answer."""

    @abc.abstractmethod
    def _end(self, jobs: list[str]) -> None:
        """Asks the jobs to stop for good."""

    @abc.abstractmethod
    def _how_to_start(self) -> str:
        """A sentence with the line to paste, where handing over does not start the jobs; else empty."""

    @abc.abstractmethod
    def _how_to_end(self, jobs: list[str]) -> str:
        """The line to paste."""

    @abc.abstractmethod
    def _job_logs(self, job: str) -> list[Path]:
        """What the job itself wrote to standard error."""

    # -- what all do

    def devices_of(self, spec: RunSpec) -> int:
        return self.cluster.resources_of(spec).devices

    def processes_of(self, spec: RunSpec) -> int:
        return max(self.settings.processes, self.cluster.resources_of(spec).nodes)

    def device_bytes(self, spec: RunSpec, given: float | None) -> float | None:
        """Of CPU cores, their part of memory_gb; what accelerators have, this machine cannot know."""
        resources = self.cluster.resources_of(spec)
        if given is not None or resources.accelerators or resources.memory_gb is None:
            return given
        return resources.memory_gb * 1e9 / resources.cores * (1 - HOST_RESERVE)

    def submit(self, jobs: list[Job]) -> None:
        made = self._tickets_for(jobs)
        groups: dict[Resources, list[Ticket]] = {}
        for ticket in made:
            write_ticket(self.store, ticket)
            groups.setdefault(ticket.resources, []).append(ticket)
        for group in groups.values():
            try:
                names = self._hand_over(group)
            except BaseException:  # refused, or Ctrl-C in the middle of it: what was started finds no ticket and ends
                for ticket in group:
                    drop_ticket(self.store, ticket.name)
                raise
            for ticket, job in zip(group, names, strict=True):
                ticket = dataclasses.replace(ticket, job=job)
                write_ticket(self.store, ticket)
                self._follow(ticket)

    def poll(self, seconds: float) -> list[Event]:
        time.sleep(seconds)
        events: list[Event] = []
        for one in list(self._open.values()):
            events += self._news(one)
        if time.monotonic() - self._looked > LOOK_SECONDS and self._open:
            self._looked = time.monotonic()
            events += self._look()
        return events

    def cancel(self) -> None:
        jobs = self._jobs()
        if jobs:
            self._end(jobs)

    def leave(self) -> str:
        jobs = self._jobs()
        if not self.outlive:
            self.cancel()
            for one in list(self._open.values()):
                self._drop(one)
            return "what is done is in the store; the same command carries on"
        if not jobs:
            return ""
        if not self.knows_its_jobs:
            return f"{self._how_to_start()}. The same command reports what they have done; {self._how_to_end(jobs)}"
        return (
            f"{len(jobs)} {self.settings.name} job{'s' * (len(jobs) > 1)} go on; the same command follows them again. "
            f"To end them: {self._how_to_end(jobs)}"
        )

    def logs(self, run_id: str) -> list[Path]:
        ticket = self._ticket_of.get(run_id)
        if ticket is None:
            return []
        own = sorted((self.store.local / "logs" / ticket.name).glob("*.log"))
        return [*(self._job_logs(ticket.job) if ticket.job else []), *own]

    def adopt(self, run_ids: set[str]) -> set[str]:
        if not self.knows_its_jobs:
            return set()
        found: set[str] = set()
        for ticket in tickets(self.store):
            asked = run_ids & set(ticket.run_ids)
            if ticket.launcher != self.settings.name or not asked:
                continue
            if not self.outlive or ticket.job is None:  # it ended with its command, or is being handed over by one
                if ticket.owner.is_gone():
                    drop_ticket(self.store, ticket.name)
            elif ticket.owner.user == Owner.of_this_process().user:  # of others, squeue may not tell
                self._follow(ticket)  # where its job is over already, that is found like any death
                found |= asked
        return found

    def _follow(self, ticket: Ticket) -> None:
        log = EventLog(tickets_folder(self.store) / f"{ticket.name}.events")
        self._open[ticket.name] = _Open(ticket, log, set(ticket.run_ids))
        self._ticket_of |= dict.fromkeys(ticket.run_ids, ticket)

    def _jobs(self) -> list[str]:
        return [one.ticket.job for one in self._open.values() if one.ticket.job is not None]

    def _news(self, one: _Open) -> list[Event]:
        events = one.events.news()
        for event in events:
            if isinstance(event, Finished):
                one.unfinished.discard(event.run_id)
            elif isinstance(event, Retried):
                one.unfinished.add(event.run_id)
        if not one.unfinished:
            self._drop(one)
        # A run that was tried again in a later ticket is told of by that one.
        return [event for event in events if self._ticket_of[event.run_id].name == one.ticket.name]

    def _look(self) -> list[Event]:
        """Jobs that are over without having finished their runs."""
        over, events = self._ended(self._jobs()), self._stuck_jobs()
        for one in list(self._open.values()):
            ended = over.get(one.ticket.job or "")
            if ended is None:
                one.gone_since = None
            elif one.gone_since is None:
                one.gone_since = time.monotonic()
            elif time.monotonic() - one.gone_since > SETTLE_SECONDS:
                events += self._news(one)
                events += self._bury(one, ended)
                self._drop(one)
        return events

    def _stuck_jobs(self) -> list[Event]:
        """Said once of each."""
        said: list[Event] = []
        for one in self._open.values():
            if one.ticket.job in self.stuck and one.ticket.job not in self._said:
                self._said.add(one.ticket.job)
                sentence = f"{self.settings.name} job {one.ticket.job} does not start: {self.stuck[one.ticket.job]}"
                said.append(Waiting(min(one.unfinished), f"{sentence}; {self._how_to_end([one.ticket.job])} ends it"))
        return said

    def _bury(self, one: _Open, ended: Ended) -> list[Event]:
        """A run that is settled is found in the store, whatever the events say."""
        words = [word for file in self._job_logs(one.ticket.job or "") if (word := last_words(file))]
        status = RunStatus.INTERRUPTED if ended.cause == Cause.NONE else RunStatus.FAILED
        sentence = f"{self.settings.name} job {one.ticket.job} {ended.sentence}{words[-1] if words else ''}"
        mine = [run_id for run_id in one.unfinished if self._ticket_of[run_id].name == one.ticket.name]
        return [bury(self.store, run_id, status, sentence, ended.cause) for run_id in sorted(mine)]

    def _drop(self, one: _Open) -> None:
        self._open.pop(one.ticket.name, None)
        drop_ticket(self.store, one.ticket.name)

    # -- which jobs go together

    def _tickets_for(self, jobs: Sequence[Job]) -> list[Ticket]:
        """Jobs of the same resources, spread over tickets of about job_minutes, the longest first; as many tickets as
        slots at least, so that nothing waits for a neighbour while a slot is free."""
        records, _ = self.store.records()
        groups: dict[Resources, list[Job]] = {}
        for job in jobs:
            groups.setdefault(self.cluster.resources_of(job.works[0].spec), []).append(job)
        made = []
        for resources, members in groups.items():
            timed = _timed(members, records, resources)
            wanted = math.ceil(sum(seconds for seconds, _ in timed) / (60 * self.cluster.job_minutes or 1e-9))
            count = min(len(timed), max(min(self.slots, len(timed)), wanted) if self.settings.workers else wanted)
            made += self._spread(sorted(timed, key=lambda pair: -pair[0]), max(1, count), resources)
        return made

    def _spread(self, timed: list[tuple[float, Job]], count: int, resources: Resources) -> list[Ticket]:
        """Each to the ticket that is done first (Graham 1969: at most 4/3 of the best spread)."""
        loads = [(0.0, index) for index in range(count)]
        parts: list[list[tuple[float, Job]]] = [[] for _ in range(count)]
        for seconds, job in timed:
            load, index = heapq.heappop(loads)
            parts[index].append((seconds, job))
            heapq.heappush(loads, (load + seconds, index))
        return [
            new_ticket(
                self.settings.name,
                [job for _, job in part],
                resources,
                self.settings.restarts,
                self.settings.hang_minutes,
                sum(seconds for seconds, _ in part),
            )
            for part in parts
            if part
        ]


def _timed(jobs: Sequence[Job], records: Sequence[RunRecord], resources: Resources) -> list[tuple[float, Job]]:
    """Each with its estimated seconds, branches included."""
    members = []
    for job in jobs:
        branches = [spec for work in job.works for _, specs in work.forks for spec in specs]
        members.append([*(work.spec for work in job.works), *branches])
    accelerators = resources.devices if resources.accelerators else 0
    specs = [spec for some in members for spec in some]
    estimates = iter(estimated_seconds(specs, records, accelerators=accelerators))
    return [(sum(next(estimates) for _ in some), job) for some, job in zip(members, jobs, strict=True)]
