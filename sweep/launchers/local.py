"""This machine: one worker process per accelerator, or single-threaded workers on the CPU."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path

from results.record import RunStatus
from results.store import Store
from sweep.deaths import bury, how_it_ended
from sweep.execute import Finished, Forked, Progress
from sweep.launchers.launcher import Event, Job, Launcher, Started
from sweep.place import work_to_json
from sweep.worker import CPU_FLAGS

GRACE_SECONDS = 30.0  # to write a checkpoint when asked to stop


@dataclasses.dataclass
class _Worker:
    process: subprocess.Popen
    stderr: Path
    cores: tuple[int, ...]
    job: Job | None = None
    unfinished: set[str] = dataclasses.field(default_factory=set)  # runs of the job
    pending: bytes = b""


class LocalLauncher(Launcher):
    """Workers live for many jobs, so that each pays for starting JAX once."""

    def __init__(self, logs: Path, workers: int | None = None, devices: int | None = None, runs: int = 1):
        """`devices` that a run needs; None: one accelerator, or the CPU's cores shared among `runs`.

        `runs` is how many the sweep has in all, not how many are left: so the same command spreads a run the same way
        every time, and its result has the same bits.
        """
        self._logs = logs
        self._cores = available_cores()
        self._accelerators = accelerator_count()
        self._wanted = workers or max(1, (self._accelerators or len(self._cores)) // (devices or 1))
        if devices is None:
            devices = 1 if self._accelerators else max(1, len(self._cores) // min(self._wanted, runs))
        self.devices = devices
        self._queue: collections.deque[Job] = collections.deque()
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._serial = 0

    @property
    def slots(self) -> int:
        return self._wanted

    @property
    def accelerated(self) -> bool:
        return self._accelerators > 0

    def submit(self, jobs: list[Job]) -> None:
        self._queue = collections.deque(sorted([*self._queue, *jobs], key=lambda job: -job.flops))

    def poll(self, seconds: float) -> list[Event]:
        events: list[Event] = self._assign()
        for key, _ in self._selector.select(timeout=seconds):
            events += self._read(key.data)
        return events

    def cancel(self) -> None:
        self._queue.clear()
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                worker.process.send_signal(signal.SIGTERM)
        self._dismiss()

    # -- workers

    def _assign(self) -> list[Event]:
        events: list[Event] = []
        idle = [worker for worker in self._workers if worker.job is None]
        while self._queue and not idle and len(self._workers) < self._wanted:
            wanted = min(self._wanted, len(self._workers) + len(self._queue))
            idle.append(self._start(len(self._workers), wanted))
        for worker in idle:
            if not self._queue:
                break
            job = self._queue.popleft()
            worker.job, worker.unfinished = job, set(job.run_ids)
            line = json.dumps({"works": [work_to_json(w) for w in job.works], "place": dataclasses.asdict(job.place)})
            try:
                assert worker.process.stdin is not None
                worker.process.stdin.write(line.encode() + b"\n")
                worker.process.stdin.flush()
            except BrokenPipeError:
                continue  # it died while idle; its end of file is read next and the job marked
            events += [Started(run_id) for run_id in job.run_ids]
        return events

    def _start(self, index: int, wanted: int) -> _Worker:
        environment = dict(os.environ)
        cores = tuple(self._cores[index % len(self._cores) :: wanted]) or (self._cores[index % len(self._cores)],)
        if self._accelerators:
            mine = [(index * self.devices + i) % self._accelerators for i in range(self.devices)]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, mine))
        else:
            # One device a core: a batch spread over single-threaded devices is faster than XLA's own threads.
            flags = [
                environment.get("XLA_FLAGS", ""),
                CPU_FLAGS,
                f"--xla_force_host_platform_device_count={self.devices}",
            ]
            environment["XLA_FLAGS"] = " ".join(filter(None, flags))
            if sys.platform == "linux":
                environment["ISOFLOP_CORES"] = ",".join(map(str, cores))
        self._logs.mkdir(parents=True, exist_ok=True)
        self._serial += 1
        stderr = self._logs / f"worker-{os.getpid()}-{self._serial}.log"
        with stderr.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sweep.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the launcher only, which asks the workers to stop
            )
        worker = _Worker(process, stderr, cores)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        self._workers.append(worker)
        return worker

    def _read(self, worker: _Worker) -> list[Event]:
        assert worker.process.stdout is not None
        data = worker.process.stdout.read()
        if data is None:
            return []
        if data == b"":
            return self._buried(worker)
        *lines, worker.pending = (worker.pending + data).split(b"\n")
        events: list[Event] = []
        for line in lines:
            message = json.loads(line)
            if "progress" in message:
                events.append(Progress(**message["progress"]))
            elif "forked" in message:
                events.append(Forked(**message["forked"]))
            else:
                finished = Finished(**message["finished"])
                worker.unfinished.discard(finished.run_id)
                if not worker.unfinished:
                    worker.job = None
                events.append(finished)
        return events

    def _buried(self, worker: _Worker) -> list[Event]:
        """A worker is gone. If it held a job, that job failed, and the record says how."""
        self._forget(worker)
        code = worker.process.wait()
        if worker.job is None:
            return []
        sentence = f"worker process ended {how_it_ended(code, worker.stderr)}"
        store = Store(worker.job.place.store)
        return [bury(store, run_id, RunStatus.FAILED, sentence) for run_id in sorted(worker.unfinished)]

    def _forget(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        assert worker.process.stdout is not None
        assert worker.process.stdin is not None
        self._selector.unregister(worker.process.stdout)
        worker.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            worker.process.stdin.close()

    def _dismiss(self) -> None:
        for worker in list(self._workers):
            self._forget(worker)  # closing its input ends it after the job at hand
            try:
                worker.process.wait(timeout=GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()


def available_cores() -> list[int]:
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return list(range(os.cpu_count() or 1))


def accelerator_count() -> int:
    """NVIDIA devices that this process may use, counted without starting a runtime."""
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip()])
    return len([path for path in Path("/dev").glob("nvidia[0-9]*")])
