"""How do many small files become few? New files first, whole and on the disk; only then goes what they hold.

Nobody locks. A file that was written again since it was read stays; two compactions at once write two files that both
hold what was there, and the next one makes one of them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from fitting.errors import InputError
from results.compacted import (
    EVALUATION_SCHEMA,
    FOLDER,
    Compacted,
    Damaged,
    EvaluationPart,
    compacted_runs,
    with_compacted,
)
from results.files import Entry, Files
from results.measurement import MEASUREMENT_SCHEMA, Measurement
from results.record import SETTLED, RunRecord
from results.run_file import UNREADABLE, encode_runs
from results.store import CURVE_SCHEMA, CURVES, EVALUATIONS, Store, parquet_bytes


@dataclass(frozen=True)
class CompactedCounts:
    """What one compaction did."""

    runs: int  # in the compacted file now
    unsettled: int  # that keep a file of their own
    run_files: int  # single and older compacted ones that went
    curve_files: int
    evaluation_files: int
    damaged: tuple[Damaged, ...]  # single files, left where they are


def compact(store: Store) -> CompactedCounts:
    """Raises InputError where a compacted file cannot be read: nobody would know what it holds."""
    singles, damaged = store.single_runs()
    # A file under another name than its run's is no run file of ours: whoever put it there may want it back.
    settled = {e: r for e, r in singles.items() if r.status in SETTLED and e.stem == r.run_id}
    run_ids, run_files = _write_runs(store, settled)
    curve_files = _merge_curves(store.files, run_ids)
    evaluation_files = _write_evaluations(store, run_ids)
    store.files.sync()
    return CompactedCounts(
        runs=len(run_ids),
        unsettled=len(singles) - len(settled),
        run_files=_delete(store.files, run_files),
        curve_files=_delete(store.files, curve_files),
        evaluation_files=_delete(store.files, evaluation_files),
        damaged=tuple(damaged),
    )


def _write_runs(store: Store, settled: dict[Entry, RunRecord]) -> tuple[list[str], list[Entry]]:
    """The run_ids in the compacted file, and the files that may go."""
    rows, damaged = compacted_runs(store.compacted_runs.parts())
    older = _whole(store.compacted_runs, damaged)
    rows |= {record.run_id: record for record in settled.values()}
    if not settled and len(older) < 2:
        return sorted(rows), []
    ordered = sorted(rows.values(), key=lambda record: (record.started_at or 0.0, record.run_id))
    store.files.write(_new_name(f"{FOLDER}/runs"), encode_runs(ordered))
    return sorted(rows), [*settled, *older]


def _write_evaluations(store: Store, run_ids: Sequence[str]) -> list[Entry]:
    """The files that may go."""
    files = store.files
    folders = sorted(set(run_ids).intersection(files.folders(EVALUATIONS)))
    with ThreadPoolExecutor(files.threads) as pool:
        found = dict(zip(folders, pool.map(lambda run_id: _evaluations(files, run_id), folders), strict=True))
    parts = store.compacted_evaluations.parts()
    older = _whole(store.compacted_evaluations, [part for part in parts if isinstance(part, Damaged)])
    singles = [entry for read in found.values() for entry in read]
    if not singles and len(older) < 2:
        return []
    compacted = {run_id for part in parts if isinstance(part, EvaluationPart) for run_id in part.rows}
    rows: list[dict] = []
    for run_id in sorted(compacted | found.keys()):
        fresh = [one for measured in found.get(run_id, {}).values() for one in measured]
        rows += [{"run_id": run_id, **vars(one)} for one in with_compacted(fresh, parts, run_id)]
    files.write(_new_name(f"{FOLDER}/evaluations"), parquet_bytes(pa.Table.from_pylist(rows, EVALUATION_SCHEMA)))
    return [*singles, *older]


def _evaluations(files: Files, run_id: str) -> dict[Entry, list[Measurement]]:
    """By file; damaged ones stay where they are."""
    found = {}
    for entry in files.entries(f"{EVALUATIONS}/{run_id}"):
        table = _table(files, entry, MEASUREMENT_SCHEMA)
        if table is not None:
            found[entry] = [Measurement(**row) for row in table.to_pylist()]
    return found


def _merge_curves(files: Files, run_ids: Sequence[str]) -> list[Entry]:
    """The files that may go."""
    folders = sorted(set(run_ids).intersection(files.folders(CURVES)))
    with ThreadPoolExecutor(files.threads) as pool:
        return [entry for merged in pool.map(lambda run_id: _merge_curve(files, run_id), folders) for entry in merged]


def _merge_curve(files: Files, run_id: str) -> list[Entry]:
    """The part files that went into a new one. It holds all their rows: readers choose among attempts."""
    folder = f"{CURVES}/{run_id}"
    entries = [entry for entry in files.entries(folder) if entry.name.endswith(".parquet")]
    if len(entries) < 2:
        return []
    tables = {entry: _table(files, entry, CURVE_SCHEMA) for entry in entries}
    read = {entry: table for entry, table in tables.items() if table is not None}
    if len(read) < 2:
        return []
    files.write(_new_name(f"{folder}/part-merged"), parquet_bytes(pa.concat_tables(read.values())))
    return list(read)


def _table(files: Files, entry: Entry, schema: pa.Schema) -> pa.Table | None:
    """None where it cannot be read, or has other columns than ours."""
    try:
        table = pq.ParquetFile(pa.BufferReader(files.read(entry.name))).read()
        return table.cast(schema) if table.column_names == schema.names else None
    except UNREADABLE:
        return None


def _whole(compacted: Compacted, damaged: list[Damaged]) -> list[Entry]:
    """Raises InputError where one of the compacted files is damaged."""
    if damaged:
        raise InputError(
            f"{damaged[0].path} cannot be read ({damaged[0].reason}); restore it from a copy, or move it away and lose "
            f"the runs that only it holds. Nothing was compacted"
        )
    return compacted.entries()


def _new_name(prefix: str) -> str:
    """One that nothing else has: two compactions at once must not replace each other's files."""
    return f"{prefix}-{time.time_ns():020d}-{secrets.token_hex(4)}.parquet"


def _delete(files: Files, entries: Sequence[Entry]) -> int:
    """How many went; those that were written again meanwhile stay."""
    with ThreadPoolExecutor(files.threads) as pool:
        return sum(pool.map(lambda entry: files.delete(entry.name, entry.identity), entries))
