"""What happens to a run while it is executed: told as JSON lines from process to process, or through a file."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from typing import Any


class Cause(enum.StrEnum):
    """Why a run failed; only what another try can mend is tried again (sweep/flow.py)."""

    NONE = ""  # it did not
    RAISED = "raised"  # the program said so: the same again would fail the same way
    DIED = "died"  # its process or its node is gone
    HUNG = "hung"  # nothing was heard for too long
    MEMORY = "memory"  # there was too little of it
    STALLED = "stalled"  # something that was written did not arrive in time


@dataclass(frozen=True)
class Started:
    """A worker has taken the run up."""

    run_id: str


@dataclass(frozen=True)
class Progress:
    """What a running run says now and then."""

    run_id: str
    step: int
    steps: int
    loss: float
    tokens_per_second: float


@dataclass(frozen=True)
class Forked:
    """From here on a run can go on from the state that it shares with another."""

    run_id: str


@dataclass(frozen=True)
class Elsewhere:
    """Another process, of another sweep perhaps, is training this run at this moment."""

    run_id: str
    holder: str = "another process"


@dataclass(frozen=True)
class Waiting:
    """The cluster says why a job does not start, and it will not by itself."""

    run_id: str
    sentence: str


@dataclass(frozen=True)
class Retried:
    """A run failed and is tried again."""

    run_id: str
    sentence: str


@dataclass(frozen=True)
class Finished:
    """The record is in the store (unless the process died before it could write one); status and sentence are its."""

    run_id: str
    status: str
    sentence: str
    cause: str = Cause.NONE


Event = Started | Progress | Forked | Elsewhere | Waiting | Retried | Finished
_ALL = (Started, Progress, Forked, Elsewhere, Waiting, Retried, Finished)
_KINDS: dict[str, type] = {kind.__name__.lower(): kind for kind in _ALL}


def event_to_json(event: Event) -> dict[str, Any]:
    """{"finished": {…}}: the kind, and the fields."""
    return {type(event).__name__.lower(): dataclasses.asdict(event)}


def event_from_json(message: dict[str, Any]) -> Event:
    """The inverse. Raises KeyError or TypeError where it is no event."""
    ((name, fields),) = message.items()
    return _KINDS[name](**fields)
