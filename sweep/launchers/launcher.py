"""The contract of every launcher: submit, poll, cancel. It moves specs and tells what became of them."""

from __future__ import annotations

import abc
from dataclasses import dataclass

from sweep.execute import Finished, Forked, Progress
from sweep.place import Place, Work


@dataclass(frozen=True)
class Job:
    """One run to execute, or several that are packed into one program."""

    works: tuple[Work, ...]
    place: Place

    @property
    def flops(self) -> float:
        return sum(work.flops for work in self.works)

    @property
    def run_ids(self) -> list[str]:
        return [work.spec.run_id for work in self.works]


@dataclass(frozen=True)
class Started:
    run_id: str


Event = Started | Progress | Forked | Finished


class Launcher(abc.ABC):
    """Used as a context manager: leaving it ends whatever still runs."""

    @abc.abstractmethod
    def submit(self, jobs: list[Job]) -> None:
        """Queues jobs, dearest first. May be called again while others run."""

    @abc.abstractmethod
    def poll(self, seconds: float) -> list[Event]:
        """What happened since the last call, waiting up to `seconds` for something to happen."""

    @abc.abstractmethod
    def cancel(self) -> None:
        """Asks every running job to checkpoint and stop, waits for them, and drops the queue."""

    @property
    @abc.abstractmethod
    def slots(self) -> int:
        """Jobs that run at once."""

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *exception: object) -> None:
        self.cancel()
