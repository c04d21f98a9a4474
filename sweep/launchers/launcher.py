"""The contract of every launcher: submit, poll, cancel. It moves specs and tells what became of them."""

from __future__ import annotations

import abc
from dataclasses import dataclass

from sweep.execute import Place, Progress
from sweep.spec import RunSpec


@dataclass(frozen=True)
class Job:
    """One run to execute."""

    spec: RunSpec
    place: Place


@dataclass(frozen=True)
class Started:
    run_id: str


@dataclass(frozen=True)
class Finished:
    """The record is in the store (unless the process died before it could write one); status and sentence are its."""

    run_id: str
    status: str
    sentence: str


Event = Started | Progress | Finished


class Launcher(abc.ABC):
    """Used as a context manager: leaving it ends whatever still runs."""

    @abc.abstractmethod
    def submit(self, jobs: list[Job]) -> None:
        """Queues jobs, dearest first."""

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
