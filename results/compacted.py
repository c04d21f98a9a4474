"""What do the compacted files of a store hold? Settled runs and their evaluations, many in one file.

A compacted file is never written again: a later compaction writes a new one with what the others hold, and then
deletes those. So there may be several, each row may stand in more than one, and nothing is ever only in a file that is
being deleted.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from results.files import Entry, Files
from results.measurement import MEASUREMENT_SCHEMA, Measurement
from results.record import RunRecord
from results.run_file import UNREADABLE, NewerSchema, decode_runs, run_ids

FOLDER = "compact"
EVALUATION_SCHEMA = pa.schema([pa.field("run_id", pa.string()), *MEASUREMENT_SCHEMA])
LISTINGS = 10  # that a reader tries: each failure means that another compaction ended meanwhile


@dataclass(frozen=True)
class Damaged:
    """A file of the store that cannot be read; it is named and left out, never fatal."""

    path: str
    reason: str
    newer: bool = False  # a later version of this software wrote it: it must not be overwritten


def damage(path: str, error: Exception) -> Damaged:
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Damaged(path, first_line, isinstance(error, NewerSchema))


class RunPart:
    """One compacted file of runs; it is parsed when a row of it is asked for."""

    def __init__(self, where: str, data: bytes):
        self.where, self._data = where, data
        self.ids = frozenset(run_ids(data))

    @functools.cached_property
    def records(self) -> dict[str, RunRecord]:
        """Raises one of UNREADABLE where the file is damaged beyond its names."""
        return {record.run_id: record for record in decode_runs(self._data)}


class EvaluationPart:
    """One compacted file of evaluations."""

    def __init__(self, where: str, data: bytes):
        table = pq.ParquetFile(pa.BufferReader(data)).read().select(EVALUATION_SCHEMA.names).cast(EVALUATION_SCHEMA)
        ids, *columns = (column.to_pylist() for column in table.columns)
        self.rows: dict[str, list[Measurement]] = {}
        for run_id, *values in zip(ids, *columns, strict=True):
            self.rows.setdefault(run_id, []).append(Measurement(*values))


Part = TypeVar("Part", RunPart, EvaluationPart)


class Compacted(Generic[Part]):
    """The compacted files of one kind, remembered until they are others."""

    def __init__(self, files: Files, kind: str, part: type[Part]):
        self._files, self._kind, self._part = files, kind, part
        self._known: dict[Entry, Part | Damaged] = {}

    def parts(self) -> list[Part | Damaged]:
        """As they all stood at one moment, oldest first. Ask after the single files: what vanished there is here."""
        for _ in range(LISTINGS):
            listed = self._listed()
            try:
                self._known = {entry: self._remembered(entry) or self._read(entry) for entry in listed}
            except FileNotFoundError:
                continue
            if listed == self._listed():  # a listing that a compaction ran into may lack both the old and the new file
                break
        return list(self._known.values())

    def entries(self) -> list[Entry]:
        """The files that `parts` was made from."""
        return list(self._known)

    def _listed(self) -> list[Entry]:
        return [entry for entry in self._files.entries(FOLDER) if entry.name.startswith(f"{FOLDER}/{self._kind}-")]

    def _remembered(self, entry: Entry) -> Part | None:
        known = self._known.get(entry)
        return None if isinstance(known, Damaged) else known  # permission may have been given since

    def _read(self, entry: Entry) -> Part | Damaged:
        where = self._files.where(entry.name)
        try:
            return self._part(where, self._files.read(entry.name))
        except FileNotFoundError:
            raise
        except UNREADABLE as error:
            return damage(where, error)


def compacted_runs(parts: Sequence[RunPart | Damaged]) -> tuple[dict[str, RunRecord], list[Damaged]]:
    """Of all parts, by run_id, and the parts that cannot be read."""
    found: dict[str, RunRecord] = {}
    damaged: list[Damaged] = []
    for part in parts:
        if isinstance(part, Damaged):
            damaged.append(part)
            continue
        try:
            records = part.records
        except UNREADABLE as error:
            damaged.append(damage(part.where, error))
            continue
        both = records.keys() & found.keys()
        found |= records | {run_id: newest(found[run_id], records[run_id]) for run_id in both}
    return found, damaged


def with_compacted(
    single: Sequence[Measurement], parts: Sequence[EvaluationPart | Damaged], run_id: str
) -> list[Measurement]:
    """Of one run, by step. A single file says all of its step; of other steps, the last part that holds a figure."""
    told = {one.step for one in single}
    rows: dict[tuple, Measurement] = {}
    for part in parts:
        if isinstance(part, EvaluationPart):
            rows |= {(one.step, one.kind, one.name, one.metric): one for one in part.rows.get(run_id, ())}
    return sorted([*(one for one in rows.values() if one.step not in told), *single], key=lambda one: one.step)


def newest(one: RunRecord, other: RunRecord) -> RunRecord:
    """Two compactions at once may have met a run before and after it was written again."""
    return max(one, other, key=lambda record: (record.attempt, record.finished_at or 0.0))
