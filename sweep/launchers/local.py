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
import time
from pathlib import Path

from results.record import SETTLED, RunStatus
from results.store import Store
from sweep.execute import Progress
from sweep.launchers.launcher import Event, Finished, Job, Launcher, Started

GRACE_SECONDS = 30.0  # to write a checkpoint when asked to stop
STDERR_LINES = 3  # of a dead worker, kept in the record
NOISE = ("warning", "Error in sys.excepthook")


@dataclasses.dataclass
class _Worker:
    process: subprocess.Popen
    stderr: Path
    cores: tuple[int, ...]
    job: Job | None = None
    pending: bytes = b""


class LocalLauncher(Launcher):
    """Workers live for many jobs, so that each pays for starting JAX once."""

    def __init__(self, logs: Path, workers: int | None = None):
        self._logs = logs
        self._cores = available_cores()
        self._accelerators = accelerator_count()
        self._wanted = workers or self._accelerators or len(self._cores)
        self._queue: collections.deque[Job] = collections.deque()
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._serial = 0

    @property
    def slots(self) -> int:
        return self._wanted

    def submit(self, jobs: list[Job]) -> None:
        self._queue.extend(sorted(jobs, key=lambda job: -job.spec.flops))

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
            worker.job = job
            line = json.dumps({"spec": job.spec.canonical_json, "place": dataclasses.asdict(job.place)})
            try:
                assert worker.process.stdin is not None
                worker.process.stdin.write(line.encode() + b"\n")
                worker.process.stdin.flush()
            except BrokenPipeError:
                continue  # it died while idle; its end of file is read next and the job marked
            events.append(Started(job.spec.run_id))
        return events

    def _start(self, index: int, wanted: int) -> _Worker:
        environment = dict(os.environ)
        cores = tuple(self._cores[index % len(self._cores) :: wanted]) or (self._cores[index % len(self._cores)],)
        if self._accelerators:
            environment["CUDA_VISIBLE_DEVICES"] = str(index % self._accelerators)
        elif sys.platform == "linux":
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
            else:
                worker.job = None
                events.append(Finished(**message["finished"]))
        return events

    def _buried(self, worker: _Worker) -> list[Event]:
        """A worker is gone. If it held a job, that job failed, and the record says how."""
        self._forget(worker)
        code = worker.process.wait()
        if worker.job is None:
            return []
        job = worker.job
        ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        sentence = f"worker process ended ({ended}){_last_lines(worker.stderr)}"
        store = Store(job.place.store)
        record = store.read(job.spec.run_id)
        if record is not None and record.status in SETTLED:
            return [Finished(job.spec.run_id, record.status, record.sentence)]
        if record is not None:
            store.write(
                record.replace(status=RunStatus.FAILED, sentence=sentence[:500], finished_at=time.time(), pid=None)
            )
        return [Finished(job.spec.run_id, RunStatus.FAILED, sentence)]

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


def _last_lines(file: Path) -> str:
    try:
        lines = [line.strip() for line in file.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    kept = [line for line in lines if not any(word in line for word in NOISE)][-STDERR_LINES:]
    return f"; last words: {' | '.join(kept)}" if kept else ""
