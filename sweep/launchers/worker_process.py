"""A worker process of this machine: started, given a job, listened to, and told apart dead, silent or out of memory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from results.record import RunStatus
from results.store import Store
from sweep.deaths import bury, how_it_ended, is_about_memory, oom_kills
from sweep.events import Cause, Elsewhere, Event, Finished, event_from_json
from sweep.launchers.launcher import Job
from sweep.place import job_to_json

GRACE_SECONDS = 30.0  # to write a checkpoint when asked to stop


class WorkerProcess:
    """Lives for many jobs, so that it pays for starting JAX once."""

    def __init__(self, environment: dict[str, str], stderr: Path):
        self.stderr = stderr
        self.job: Job | None = None
        self._unfinished: set[str] = set()  # runs of the job
        self._pending = b""
        self._heard = time.monotonic()
        self._killed_for: str | None = None
        self._oom_kills = oom_kills()
        stderr.parent.mkdir(parents=True, exist_ok=True)
        with stderr.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sweep.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the launcher only, which asks the workers to stop
            )
        assert self._process.stdout is not None
        self.messages = self._process.stdout  # to select on
        os.set_blocking(self.messages.fileno(), False)

    def take(self, job: Job) -> None:
        self.job, self._unfinished = job, set(job.run_ids)
        self._heard = time.monotonic()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died while idle; its end of file is read next
            self._process.stdin.write(json.dumps(job_to_json(job.works, job.place)).encode() + b"\n")
            self._process.stdin.flush()

    def read(self) -> list[Event] | None:
        """What it said since the last call; None once it is gone."""
        data = self.messages.read()
        if data is None:
            return []
        if data == b"":
            return None
        self._heard = time.monotonic()
        *lines, self._pending = (self._pending + data).split(b"\n")
        events = [event_from_json(json.loads(line)) for line in lines]
        for event in events:
            if isinstance(event, (Finished, Elsewhere)):
                self._unfinished.discard(event.run_id)
                if not self._unfinished:
                    self.job = None
        return events

    def kill_if_silent(self, seconds: float) -> None:
        """Nothing was heard for so long while it had work: it hangs."""
        if self.job is not None and self._killed_for is None and time.monotonic() - self._heard > seconds:
            self._killed_for = f"nothing was heard of it for {seconds / 60:.3g} minutes (launcher.hang_minutes)"
            self.kill()

    def bury(self) -> list[Event]:
        """It is gone. If it held a job, the runs that it had not finished failed, and their records say how."""
        self.close()
        code = self._process.wait()
        if self.job is None:
            return []
        sentence = f"worker process ended {how_it_ended(code, self.stderr)}"
        cause = Cause.DIED
        if self._killed_for is not None:
            sentence, cause = f"{self._killed_for}; {sentence}", Cause.HUNG
        elif is_about_memory(sentence) or (code == -signal.SIGKILL and oom_kills() > self._oom_kills):
            sentence, cause = f"out of memory: {sentence}", Cause.MEMORY
        store = Store(self.job.place.store)
        return [bury(store, run_id, RunStatus.FAILED, sentence, cause) for run_id in sorted(self._unfinished)]

    # -- its end

    def ask_to_stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """With the processes that it started, if any."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Closing its input ends it after the job at hand."""
        self.messages.close()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def wait(self, seconds: float = GRACE_SECONDS) -> list[str]:
        """Until it has ended, by force after so long. Names the runs that it could not save in time."""
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
            return sorted(self._unfinished)
        return []
