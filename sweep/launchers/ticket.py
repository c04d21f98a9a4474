"""Jobs that are handed to another machine: a file says what is to be done, another what has happened.

jobs/NAME.json in the store's local folder is written by the sweep, NAME.events by whoever executes it, a line an event.
Both are plain JSON: nothing that is read back can run code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import json
import os
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from results.store import Store
from sweep.events import Event, event_from_json, event_to_json
from sweep.launchers.launcher import Job
from sweep.launchers.settings import Resources
from sweep.place import job_to_json, place_from_json, work_from_json

VERSION = 1


@dataclass(frozen=True)
class Owner:
    """The command that made a ticket."""

    user: str
    host: str
    pid: int

    @staticmethod
    def of_this_process() -> Owner:
        return Owner(getpass.getuser(), socket.gethostname(), os.getpid())

    def is_gone(self) -> bool:
        """Whether it is known to have ended: on this host, and no such process is there."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


@dataclass(frozen=True)
class Ticket:
    """What one job of a cluster executes: several jobs of ours, one after another."""

    name: str
    launcher: str
    jobs: tuple[Job, ...]
    resources: Resources
    restarts: int
    hang_minutes: float
    seconds: float  # estimated
    submitted_at: float  # seconds since 1970 (UTC)
    owner: Owner
    job: str | None = None  # what the cluster calls it; None: not handed over yet

    @property
    def run_ids(self) -> list[str]:
        """All of them, branches too."""
        works = [work for job in self.jobs for work in job.works]
        branches = [spec.run_id for work in works for _, specs in work.forks for spec in specs]
        return [*(work.spec.run_id for work in works), *branches]


def new_ticket(
    launcher: str, jobs: Sequence[Job], resources: Resources, restarts: int, hang_minutes: float, seconds: float
) -> Ticket:
    return Ticket(
        secrets.token_hex(8),
        launcher,
        tuple(jobs),
        resources,
        restarts,
        hang_minutes,
        seconds,
        time.time(),
        Owner.of_this_process(),
    )


def tickets_folder(store: Store) -> Path:
    return store.local / "jobs"


def write_ticket(store: Store, ticket: Ticket) -> Path:
    """By rename; again when the cluster's name for it is known."""
    fields = {
        **{field.name: getattr(ticket, field.name) for field in dataclasses.fields(Ticket)},
        "version": VERSION,
        "jobs": [job_to_json(job.works, job.place) for job in ticket.jobs],
        "resources": dataclasses.asdict(ticket.resources),
        "owner": dataclasses.asdict(ticket.owner),
        "run_ids": ticket.run_ids,  # for readers that only count
    }
    return Store(store.local).write_text(f"jobs/{ticket.name}.json", json.dumps(fields) + "\n")


def read_ticket(file: Path) -> Ticket:
    """Raises ValueError, KeyError or TypeError where it is none of this version."""
    fields = json.loads(file.read_text())
    if fields.pop("version") != VERSION:
        raise ValueError(f"{file} is of another version of isoflop")
    fields.pop("run_ids")
    jobs = [Job(tuple(map(work_from_json, job["works"])), place_from_json(job["place"])) for job in fields.pop("jobs")]
    resources, owner = Resources(**fields.pop("resources")), Owner(**fields.pop("owner"))
    return Ticket(jobs=tuple(jobs), resources=resources, owner=owner, **fields)


def tickets(store: Store) -> list[Ticket]:
    """Those that can be read, oldest first."""
    found = []
    for file in tickets_folder(store).glob("[!.]*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.append(read_ticket(file))
    return sorted(found, key=lambda ticket: ticket.submitted_at)


def drop_ticket(store: Store, name: str) -> None:
    """Nobody needs it any more."""
    for suffix in (".json", ".events"):
        with contextlib.suppress(OSError):
            (tickets_folder(store) / f"{name}{suffix}").unlink()


class EventLog:
    """What happens to the runs of a ticket; appended by one process, read by another."""

    def __init__(self, file: Path):
        self._file, self._read = file, 0

    def append(self, events: Sequence[Event]) -> None:
        """One write a call. A line that a kill cut short is closed by the line break that comes first."""
        lines = "".join(f"\n{json.dumps(event_to_json(event))}\n" for event in events)
        if lines:
            handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(handle, lines.encode())
            finally:
                os.close(handle)

    def news(self) -> list[Event]:
        """What was appended since the last call; half a line waits for its other half."""
        try:
            with self._file.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self._read += end
        found = []
        for line in data[:end].splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                found.append(event_from_json(json.loads(line)))
        return found
