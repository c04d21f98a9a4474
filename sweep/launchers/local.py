"""This machine: one worker process per accelerator, or single-threaded workers on the CPU."""

from __future__ import annotations

import bisect
import os
import selectors
import sys
import time
from pathlib import Path

from results.record import RunStatus
from results.store import Store
from sweep.deaths import bury
from sweep.events import Event, Started
from sweep.launchers.accelerators import pinned_to, visible_accelerators
from sweep.launchers.launcher import Job, Launcher
from sweep.launchers.settings import LauncherSettings
from sweep.launchers.worker_process import GRACE_SECONDS, WorkerProcess
from sweep.memory import device_memory
from sweep.reader import Reader
from sweep.spec import RunSpec
from sweep.worker import CPU_FLAGS, CPU_MALLOC

HANG_MINUTES = 30.0  # a compilation and an evaluation say nothing for minutes; assumption


class LocalLauncher(Launcher):
    """Jobs wait in one queue, the dearest first, for the next worker that is free."""

    takes_branches = False

    def __init__(
        self,
        logs: Path,
        workers: int | None = None,
        devices: int | None = None,
        runs: int = 1,
        hang_minutes: float = HANG_MINUTES,
        processes: int = 1,
        grace: float = GRACE_SECONDS,
    ):
        """`devices` that a run needs; None: one accelerator, or the CPU's cores shared among `runs`.

        `runs` is how many the sweep has in all, not how many are left: so the same command spreads a run the same way
        every time, and its result has the same bits.
        """
        self._processes, self._grace = processes, grace
        self._logs, self._hang_seconds = logs, 60 * hang_minutes
        self._cores = available_cores()
        self._accelerators = visible_accelerators()
        self.slots = workers or max(1, (len(self._accelerators) or len(self._cores)) // (devices or 1))
        if devices is None:
            devices = 1 if self._accelerators else max(1, len(self._cores) // min(self.slots, runs))
        self.devices = devices
        self.accelerated = bool(self._accelerators)
        self._queue: list[Job] = []  # the dearest last
        self._workers: dict[int, WorkerProcess] = {}  # by place among the slots, which tells its cores or accelerators
        self._selector = selectors.DefaultSelector()
        self._stderr: dict[str, list[Path]] = {}
        self._serial = 0

    def devices_of(self, spec: RunSpec) -> int:
        return self.devices

    def processes_of(self, spec: RunSpec) -> int:
        return self._processes

    def device_bytes(self, spec: RunSpec, given: float | None) -> float | None:
        return device_memory(given, "gpu" if self.accelerated else "cpu", self.slots * self.devices)

    def submit(self, jobs: list[Job]) -> None:
        for job in sorted(jobs, key=lambda job: job.flops):
            bisect.insort_right(self._queue, job, key=lambda job: job.flops)

    def poll(self, seconds: float) -> list[Event]:
        events: list[Event] = self._assign()
        if not self._workers:
            time.sleep(seconds)
        for key, _ in self._selector.select(timeout=seconds):
            events += self._read(key.data)
        for worker in self._workers.values():
            worker.kill_if_silent(self._hang_seconds)
        return events

    def cancel(self) -> None:
        """A second Ctrl-C while it waits ends the workers at once; their runs go on from their last checkpoints."""
        self._queue.clear()
        workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            worker.ask_to_stop()
        try:
            for worker in workers:
                self._selector.unregister(worker.messages)
                worker.close()
                self._give_up(worker, worker.wait(self._grace), "it did not stop in time")
        except KeyboardInterrupt:
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.wait()
                self._give_up(worker, worker.job.run_ids if worker.job else [], "interrupted twice")
            raise

    def leave(self) -> str:
        self.cancel()
        return "what is done is in the store; the same command carries on"

    def logs(self, run_id: str) -> list[Path]:
        return self._stderr.get(run_id, [])

    def adopt(self, run_ids: set[str]) -> set[str]:
        """None: workers end with their launcher."""
        return set()

    # -- workers

    def _assign(self) -> list[Event]:
        events: list[Event] = []
        idle = [worker for worker in self._workers.values() if worker.job is None]
        free = [index for index in range(self.slots) if index not in self._workers]
        wanted = min(self.slots, len(self._workers) - len(idle) + len(self._queue))
        while len(idle) < len(self._queue) and free:
            idle.append(self._start(free.pop(0), wanted))
        for worker in idle:
            if not self._queue:
                break
            job = self._queue.pop()
            worker.take(job)
            for run_id in job.run_ids:
                self._stderr.setdefault(run_id, []).append(worker.stderr)
                events.append(Started(run_id))
        return events

    def _start(self, index: int, wanted: int) -> WorkerProcess:
        environment = dict(os.environ)
        cores = tuple(self._cores[index % len(self._cores) :: wanted]) or (self._cores[index % len(self._cores)],)
        if self._accelerators:
            places = [(index * self.devices + i) % len(self._accelerators) for i in range(self.devices)]
            environment |= pinned_to([self._accelerators[place] for place in places])
        else:
            # One device a core: a batch spread over single-threaded devices is faster than XLA's own threads.
            flags = [
                environment.get("XLA_FLAGS", ""),
                CPU_FLAGS,
                f"--xla_force_host_platform_device_count={self.devices}",
            ]
            environment["XLA_FLAGS"] = " ".join(filter(None, flags))
            environment["GLIBC_TUNABLES"] = ":".join(filter(None, [CPU_MALLOC, environment.get("GLIBC_TUNABLES")]))
            if sys.platform == "linux":
                environment["ISOFLOP_CORES"] = ",".join(map(str, cores))
        self._serial += 1
        worker = WorkerProcess(environment, self._logs / f"worker-{os.getpid()}-{self._serial}.log")
        self._selector.register(worker.messages, selectors.EVENT_READ, index)
        self._workers[index] = worker
        return worker

    def _read(self, index: int) -> list[Event]:
        worker = self._workers[index]
        events = worker.read()
        if events is None:
            self._selector.unregister(worker.messages)
            del self._workers[index]
            return worker.bury()
        return events

    def _give_up(self, worker: WorkerProcess, run_ids: list[str], why: str) -> None:
        """Runs of a worker that had to be killed: interrupted, not failed."""
        if worker.job is not None:
            store = Store(worker.job.place.store)
            for run_id in run_ids:
                bury(store, run_id, RunStatus.INTERRUPTED, f"{why}; run it again to go on from its last checkpoint")


def read_settings(read: Reader) -> None:
    """Nothing beyond what all share."""


def make(settings: LauncherSettings, store: Store, devices: int | None, runs: int) -> LocalLauncher:
    return LocalLauncher(
        store.local / "logs",
        settings.workers,
        devices,
        runs,
        hang_minutes=settings.hang_minutes,
        processes=settings.processes,
    )


def available_cores() -> list[int]:
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return list(range(os.cpu_count() or 1))
