"""python -m sweep.launchers.remote TICKET: executes what a ticket holds, on the machine that a cluster gave for it.

On one node it is the local launcher with one worker and the loop of every sweep (sweep/flow.py): trunks before their
branches, a died or silent worker is replaced, and only what it had not finished is lost. On several nodes every task
of the job runs this, and each starts one process of sweep.process; the first tells what happens.
"""

from __future__ import annotations

import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

from results.record import RunStatus
from results.store import Store
from sweep.deaths import bury, cause_of_death, how_it_ended
from sweep.events import Cause, Elsewhere, Event, Finished, event_from_json
from sweep.flow import Flow
from sweep.launchers.launcher import Job
from sweep.launchers.local import LocalLauncher
from sweep.launchers.ticket import EventLog, Ticket, read_ticket
from sweep.place import Work, job_to_json

SAVE_SECONDS = 75.0  # when the job has to make way: less than Slurm's warning (90 s) and Kubernetes' grace (120 s)
RANKS = ("SLURM_PROCID", "JAX_PROCESS_ID", "JOB_COMPLETION_INDEX", "TPU_WORKER_ID")  # Slurm, by hand, Kubernetes, TPU


class Remote:
    """One job of a cluster."""

    def __init__(self, file: Path):
        try:
            self._ticket: Ticket = read_ticket(file)
        except FileNotFoundError:
            sys.exit(f"{file} is gone: its sweep took it back, or it is done")
        self._events = EventLog(file.with_suffix(".events"))
        self._logs = Store(self._ticket.jobs[0].place.store).local / "logs" / self._ticket.name
        self._launcher: LocalLauncher | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def run(self) -> None:
        """Until every run of the ticket has ended."""
        if self._ticket.resources.nodes > 1:
            self._run_across_nodes()
        else:
            self._run_here()

    def stop(self) -> None:
        """Saves what is under way: the job is to make way, and will be started again."""
        self._stopping = True
        if self._launcher is not None:
            self._launcher.cancel()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(SAVE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _run_here(self) -> None:
        ticket = self._ticket
        launcher = LocalLauncher(
            self._logs,
            workers=1,
            devices=ticket.resources.devices,
            hang_minutes=ticket.hang_minutes,
            grace=SAVE_SECONDS,
        )
        with launcher:
            self._launcher = launcher
            Flow(launcher, ticket.jobs, ticket.restarts, tell=self._tell).run()

    def _tell(self, events: list[Event]) -> None:
        """What is only put off is not told: the run goes on when the job does. What was given up here is final."""
        told = [event for event in events if not self._is_put_off(event)]
        self._events.append([_final(event) for event in told])

    def _is_put_off(self, event: Event) -> bool:
        put_off = isinstance(event, Finished) and event.status == RunStatus.INTERRUPTED
        return self._stopping or put_off or isinstance(event, Elsewhere)

    # -- several nodes

    def _run_across_nodes(self) -> None:
        rank = next((int(os.environ[name]) for name in RANKS if os.environ.get(name, "").isdigit()), 0)
        self._logs.mkdir(parents=True, exist_ok=True)
        stderr = self._logs / f"process-{rank}-{os.getpid()}.log"
        lines = [json.dumps(job_to_json(job.works, job.place)) for job in _with_branches(self._ticket)]
        command = [sys.executable, "-m", "sweep.process"]
        if coordinator := os.environ.get("ISOFLOP_COORDINATOR"):
            command += ["--coordinator", coordinator]
            command += ["--processes", str(self._ticket.resources.nodes), "--index", str(rank)]
        with stderr.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        self._process.stdin.write("".join(line + "\n" for line in lines).encode())
        self._process.stdin.close()
        unfinished = set(self._ticket.run_ids)
        silent = self._listen(self._process, unfinished) if rank == 0 else ""
        code = self._process.wait()
        if self._stopping:
            return
        if rank == 0 and unfinished:
            sentence = f"{silent}process {rank} ended {how_it_ended(code, stderr)}"
            cause = Cause.HUNG if silent else cause_of_death(code, sentence)
            store = Store(self._ticket.jobs[0].place.store)
            self._events.append([bury(store, name, RunStatus.FAILED, sentence, cause) for name in sorted(unfinished)])
        if code:
            sys.exit(1)

    def _listen(self, process: subprocess.Popen[bytes], unfinished: set[str]) -> str:
        """Until it is gone; why it had to be killed, if so. The other processes end when they miss it."""
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        unread, heard = b"", time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(timeout=1.0):
                    if time.monotonic() - heard > 60 * self._ticket.hang_minutes:
                        process.kill()
                        return f"nothing was heard of it for {self._ticket.hang_minutes:.3g} minutes; "
                    continue
                data = process.stdout.read()
                if data == b"":
                    return ""
                heard = time.monotonic()
                *lines, unread = (unread + (data or b"")).split(b"\n")
                for line in lines:
                    event = event_from_json(json.loads(line))
                    if isinstance(event, Finished):
                        unfinished.discard(event.run_id)
                    self._tell([event])


def _final(event: Event) -> Event:
    """The loop in here has tried as often as it may; the one that follows the job is not to begin anew."""
    given_up = isinstance(event, Finished) and event.status == RunStatus.FAILED
    return dataclasses.replace(event, cause=Cause.RAISED) if given_up else event


def _with_branches(ticket: Ticket) -> list[Job]:
    """Every trunk, followed by what parts from it."""
    jobs = []
    for job in ticket.jobs:
        branches = [Work(spec) for work in job.works for _, specs in work.forks for spec in specs]
        jobs += [job, *(Job((work,), job.place) for work in branches)]
    return jobs


def main() -> None:
    remote = Remote(Path(sys.argv[1]))

    def stop(number: int, frame: object) -> None:
        remote.stop()
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    remote.run()


if __name__ == "__main__":
    main()
