"""The contract of every launcher: submit, poll, cancel, logs. It moves jobs and tells what became of their runs."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from pathlib import Path

from sweep.events import Event
from sweep.place import Place, Work
from sweep.spec import RunSpec


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


class Launcher(abc.ABC):
    """Used as a context manager: leaving it ends what must not outlive the command.

    It tries nothing twice and knows nothing of trunks: sweep/flow.py does, for all of them.
    """

    takes_branches: bool  # True: a job is handed over with the runs that part from it, and they come back with it
    accelerated: bool  # whether its runs train on accelerators
    slots: int  # jobs that run at once
    follows: bool = True  # False: jobs are handed over and the command ends

    @abc.abstractmethod
    def devices_of(self, spec: RunSpec) -> int:
        """JAX devices that a run of this size gets."""

    @abc.abstractmethod
    def processes_of(self, spec: RunSpec) -> int:
        """Processes that work on it together."""

    @abc.abstractmethod
    def device_bytes(self, spec: RunSpec, given: float | None) -> float | None:
        """Memory of each of its devices: what was given (mesh.memory), else what is known; None where nobody knows."""

    @abc.abstractmethod
    def submit(self, jobs: list[Job]) -> None:
        """Queues jobs, dearest first. May be called again while others run."""

    @abc.abstractmethod
    def poll(self, seconds: float) -> list[Event]:
        """What happened since the last call, waiting up to `seconds` for something to happen."""

    @abc.abstractmethod
    def cancel(self) -> None:
        """Asks every running job to checkpoint and stop, waits for them, and drops the queue."""

    @abc.abstractmethod
    def leave(self) -> str:
        """What is done where the command ends early: this machine's workers save and stop, a cluster's jobs go on. A
        sentence that says so."""

    @abc.abstractmethod
    def logs(self, run_id: str) -> list[Path]:
        """Files with what the processes of a run wrote to standard error, the latest last."""

    @abc.abstractmethod
    def adopt(self, run_ids: set[str]) -> set[str]:
        """Those of the runs that jobs of an earlier command still work on; they are followed from now on."""

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *exception: object) -> None:
        self.leave()
