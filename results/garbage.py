"""What in a store is of no use any more? Leftovers of kills, folders that no run owns, checkpoints nobody resumes from.

Never anything of a run that may be resumed (running, interrupted, failed, or whose record cannot be read), and never
a record, a forecast, a fit or a corpus.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fitting.errors import InputError
from results.compacted import FOLDER
from results.files import Entry
from results.ledger import FOLDER as FORECASTS
from results.listing import shown_status
from results.planned import FOLDER as PLANS
from results.record import SETTLED, RunRecord, RunStatus
from results.store import CURVES, EVALUATIONS, RUNS, Store

HOUR, DAY = 3600.0, 86400.0  # seconds; a run that begins now may have files before it has a record
CHECKPOINTS, LOGS, JOBS = "checkpoints", "logs", "jobs"

NO_RECORD = "{} without a run record, older than an hour"
HANDED_OVER = f"{NO_RECORD.format(CHECKPOINTS)}; a sweep that is carried on trains such runs from their start"
TEMPORARY = "temporary files of killed writers, older than an hour"
CUT_SHORT = "checkpoints of settled runs that were cut short or set aside as damaged"
EARLIER = "earlier checkpoints of settled runs"
DIVERGED = "checkpoints of diverged runs"
FINAL = "final checkpoints of done runs; tasks and compression can no longer be asked of them"
OLD_LOG = "logs older than a day"


@dataclass(frozen=True)
class Garbage:
    """A file or folder of this machine, or the files of a folder behind a URL."""

    why: str
    where: str
    size: int  # bytes
    written: float  # seconds since 1970, the newest file in it
    path: Path | None
    entries: tuple[Entry, ...] = ()


def find_garbage(store: Store, final: bool = False) -> list[Garbage]:
    """`final`: the last checkpoints of done runs too. Raises InputError where nobody can tell which runs there are."""
    now = time.time()
    folders = {kind: store.files.folders(kind) for kind in (CURVES, EVALUATIONS)}  # before the records: see HOUR
    states = _children(store.local / CHECKPOINTS)
    records, damaged = store.records()
    for file in damaged:
        if file.newer or f"{FOLDER}/" in file.path:
            raise InputError(f"{file.path}: {file.reason}. Nobody can tell which runs it holds; nothing is removed")
    by_id = {record.run_id: record for record in records}
    known = by_id.keys() | {entry.stem for entry in store.files.entries(RUNS)}
    young = [
        *(_folder(store, kind, name) for kind, names in folders.items() for name in names if name not in known),
        *_without_record(store, [state for state in states if state.name not in known], records),
        *(_local(TEMPORARY, path) for path in _temporary(store, by_id)),
    ]
    found = [one for one in young if one.written < now - HOUR]
    for state in states:
        if state.name in by_id and by_id[state.name].status in SETTLED:
            found += _checkpoints(by_id[state.name], state, final, now)
    logs = [_local(OLD_LOG, path) for path in (store.local / LOGS).rglob("*") if path.is_file()]
    return found + [log for log in logs if log.written < now - DAY]


def remove(store: Store, garbage: Sequence[Garbage], final: bool = False) -> list[Garbage]:
    """What went: only what is garbage still, because a run may have begun since somebody was asked."""
    still = {(one.why, one.where) for one in find_garbage(store, final)}
    going = [one for one in garbage if (one.why, one.where) in still]
    for one in going:
        for entry in one.entries:
            store.files.delete(entry.name, entry.identity)
        if one.path is not None and one.path.is_dir() and not one.path.is_symlink():
            shutil.rmtree(one.path, ignore_errors=True)
        elif one.path is not None:
            one.path.unlink(missing_ok=True)
    return going


def _folder(store: Store, kind: str, name: str) -> Garbage:
    """Curves or evaluations that no run owns."""
    if (store.local / kind / name).is_dir():
        return _local(NO_RECORD.format(kind), store.local / kind / name)
    entries = tuple(store.files.entries(f"{kind}/{name}"))
    written = max((entry.modified or time.time() for entry in entries), default=time.time())
    size = sum(entry.size for entry in entries)
    return Garbage(NO_RECORD.format(kind), store.files.where(f"{kind}/{name}"), size, written, None, entries)


def _without_record(store: Store, states: Sequence[Path], records: Sequence[RunRecord]) -> list[Garbage]:
    """A branch has its trunk's state long before it has a record: not while a run trains or a job waits for it."""
    if any(shown_status(record) == RunStatus.RUNNING for record in records):
        return []
    waiting: set[str] = set()
    for ticket in (store.local / JOBS).glob("*.json"):
        try:
            waiting.update(json.loads(ticket.read_text())["run_ids"])
        except (OSError, ValueError, LookupError, TypeError):
            return []  # whom it waits for is not known
    return [_local(HANDED_OVER, state) for state in states if state.name not in waiting]


def _temporary(store: Store, by_id: dict[str, RunRecord]) -> Iterator[Path]:
    """Names that begin with a dot; in folders of runs, those of settled ones."""
    for folder in (RUNS, FORECASTS, "fits", "corpora", PLANS, FOLDER, JOBS):
        yield from (store.local / folder).glob(".*")
    for folder in _children(store.local / FORECASTS):
        yield from folder.glob(".*")
    for kind in (CURVES, EVALUATIONS):
        for folder in _children(store.local / kind):
            if folder.name in by_id and by_id[folder.name].status in SETTLED:
                yield from folder.glob(".*")


def _checkpoints(record: RunRecord, state: Path, final: bool, now: float) -> Iterator[Garbage]:
    """Of a settled run."""
    if record.status == RunStatus.DIVERGED or final:
        yield _local(DIVERGED if record.status == RunStatus.DIVERGED else FINAL, state)
        return
    steps = [path for path in state.iterdir() if path.name.isdigit()]
    newest = max(steps, key=lambda path: int(path.name), default=None)
    yield from (_local(EARLIER, path) for path in steps if path != newest)
    for path in (*state.glob(".damaged-*"), *state.glob("*.orbax-checkpoint-tmp*")):
        if (cut := _local(CUT_SHORT, path)).written < now - HOUR:
            yield cut


def _local(why: str, path: Path) -> Garbage:
    """Files that vanish meanwhile count as nothing."""
    size, written = 0, 0.0
    for file in (path, *path.rglob("*")) if path.is_dir() and not path.is_symlink() else (path,):
        try:
            stat = file.lstat()
        except FileNotFoundError:
            continue
        written = max(written, stat.st_mtime)
        size += stat.st_size if not file.is_dir() else 0
    return Garbage(why, str(path), size, written or time.time(), path)


def _children(folder: Path) -> list[Path]:
    """The folders in it that runs are named by; a link leads out of the store."""
    return sorted(path for path in folder.glob("[!.]*") if path.is_dir() and not path.is_symlink())
