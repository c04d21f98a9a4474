"""The store: runs, curves, evaluations, sealed forecasts. A folder or a URL; a whole file is the only commit."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fitting.cache import cache_folder
from fitting.errors import InputError
from results import carry, ledger
from results.compacted import (
    LISTINGS,
    Compacted,
    Damaged,
    EvaluationPart,
    RunPart,
    compacted_runs,
    damage,
    newest,
    with_compacted,
)
from results.files import Entry, files_at, local_folder
from results.measurement import MEASUREMENT_SCHEMA, Measurement
from results.record import RunRecord
from results.run_file import UNREADABLE, decode_run, encode_run, run_schema
from results.sealed import Forecast

__all__ = ["CURVE_SCHEMA", "DEFAULT_STORE", "Damaged", "Forecast", "Store", "check_name", "run_schema"]

DEFAULT_STORE = "store"
RUNS, CURVES, EVALUATIONS = "runs", "curves", "evaluations"
FILES_A_TASK = 64  # that one thread reads before it asks for more
FEWEST_FOR_THREADS = 8  # files; starting threads costs as much as reading one
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

CURVE_SCHEMA = pa.schema(
    [
        pa.field("step", pa.int64()),  # steps finished when the row was written
        pa.field("tokens", pa.float64()),
        pa.field("loss", pa.float64()),  # nats per token, mean over the steps since the row before
        pa.field("learning_rate", pa.float64()),
        pa.field("weight_decay", pa.float64()),
        pa.field("gradient_norm", pa.float64()),  # before clipping, of the last step
        pa.field("seconds", pa.float64()),  # in training so far
        pa.field("tokens_per_second", pa.float64()),  # since the row before
        pa.field("mfu", pa.float64()),  # the same / the device's peak; NaN where no peak is known
        pa.field("attempt", pa.int64()),
    ]
)


class Store:
    """Every file has one writer and appears whole, so readers need no locks. What was read is remembered until its file
    is another one."""

    def __init__(self, name: str | Path):
        self.name = str(name) if "://" in str(name) else str(Path(name))  # Store(store.name) is the same store
        self.files = files_at(self.name)
        self.compacted_runs = Compacted(self.files, "runs", RunPart)
        self.compacted_evaluations = Compacted(self.files, "evaluations", EvaluationPart)
        self._known: dict[Entry, RunRecord] = {}

    @property
    def path(self) -> Path:
        """The folder. Raises InputError for a store behind a URL, which has none."""
        folder = local_folder(self.name)
        if folder is None:
            raise InputError(f"store {self.name!r} is no folder, which this needs; give a folder")
        return folder

    @property
    def exists(self) -> bool:
        """Behind a URL, a store that holds nothing is there: nobody has to make a folder."""
        folder = local_folder(self.name)
        return folder is None or folder.is_dir()

    @property
    def local(self) -> Path:
        """Where lies what cannot lie behind a URL (checkpoints, logs, locks): the folder, else one in the cache."""
        folder = local_folder(self.name)
        if folder is not None:
            return folder
        return cache_folder() / "stores" / hashlib.sha256(self.name.rstrip("/").encode()).hexdigest()[:16]

    @property
    def address(self) -> str:
        """The name for a process that may work in another folder."""
        folder = local_folder(self.name)
        return self.name if folder is None else str(folder.absolute())

    # -- runs

    def write(self, record: RunRecord) -> None:
        self.files.write(_run_file(check_name("run_id", record.run_id)), encode_run(record))

    def read(self, run_id: str) -> RunRecord | None:
        if not _SAFE_NAME.fullmatch(run_id):
            return None
        try:
            return decode_run(self.files.read(_run_file(run_id)))
        except UNREADABLE:  # not there, or damaged
            return self._compacted_run(run_id)

    def records(self) -> tuple[list[RunRecord], list[Damaged]]:
        """All runs, oldest first, and the files that could not be read."""
        singles, damaged = self.single_runs()
        records, damaged_parts = compacted_runs(self.compacted_runs.parts())  # after the single files: see `parts`
        records |= {record.run_id: record for record in singles.values()}
        ordered = sorted(records.values(), key=lambda record: (record.started_at or 0.0, record.run_id))
        return ordered, [*damaged, *damaged_parts]

    def single_runs(self) -> tuple[dict[Entry, RunRecord], list[Damaged]]:
        """Those that have a file of their own, which is newer than what a compacted one says of them."""
        entries = [entry for entry in self.files.entries(RUNS) if entry.name.endswith(".parquet")]
        read = dict(self._read_runs([entry for entry in entries if entry not in self._known]))
        self._known = {entry: self._known[entry] for entry in entries if entry in self._known}
        self._known |= {entry: one for entry, one in read.items() if isinstance(one, RunRecord)}
        damaged = [one for one in read.values() if isinstance(one, Damaged)]
        return dict(sorted(self._known.items(), key=lambda item: _order(*item))), damaged

    def _read_runs(self, entries: Sequence[Entry]) -> list[tuple[Entry, RunRecord | Damaged | None]]:
        def read(some: Sequence[Entry]) -> list[tuple[Entry, RunRecord | Damaged | None]]:
            return [(entry, self._read_run(entry)) for entry in some]

        if len(entries) < FEWEST_FOR_THREADS:
            return read(entries)
        size = max(1, min(FILES_A_TASK, len(entries) // self.files.threads))
        tasks = [entries[first : first + size] for first in range(0, len(entries), size)]
        with ThreadPoolExecutor(self.files.threads) as pool:
            return [one for task in pool.map(read, tasks) for one in task]

    def _read_run(self, entry: Entry) -> RunRecord | Damaged | None:
        try:
            return decode_run(self.files.read(entry.name))
        except FileNotFoundError:  # compacted since it was listed
            return None
        except UNREADABLE as error:
            return damage(self.files.where(entry.name), error)

    def _compacted_run(self, run_id: str) -> RunRecord | None:
        holding = [part for part in self.compacted_runs.parts() if isinstance(part, RunPart) and run_id in part.ids]
        try:
            return functools.reduce(newest, [part.records[run_id] for part in holding]) if holding else None
        except UNREADABLE:
            return None

    # -- curves

    def write_curve(self, run_id: str, rows: Sequence[Mapping[str, float]]) -> None:
        """One part, named by its last step and attempt, so that a later attempt never overwrites."""
        last = rows[-1]
        name = f"part-{int(last['step']):09d}-{int(last['attempt']):03d}.parquet"
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=CURVE_SCHEMA)
        self.files.write(f"{CURVES}/{check_name('run_id', run_id)}/{name}", parquet_bytes(table))

    def curve(self, run_id: str) -> dict[str, np.ndarray]:
        """Columns sorted by step, later attempts counting where they overlap; a branch begins with its trunk's rows."""
        rows = self._curve_rows(run_id)
        record = self.read(run_id)
        if record is not None and record.trunk is not None:
            shared = self._curve_rows(record.trunk)
            rows |= {step: row for step, row in shared.items() if step <= record.branch_step and step not in rows}
        ordered = [rows[step] for step in sorted(rows)]
        names = CURVE_SCHEMA.names
        return {name: np.asarray([row.get(name, np.nan) for row in ordered], dtype=float) for name in names}

    def _curve_rows(self, run_id: str) -> dict[int, dict[str, float]]:
        rows: dict[int, dict[str, float]] = {}
        for row in self._rows(f"{CURVES}/{run_id}", "part-") if _SAFE_NAME.fullmatch(run_id) else ():
            kept = rows.get(row["step"])
            if kept is None or kept["attempt"] <= row["attempt"]:
                rows[row["step"]] = row
        return rows

    # -- evaluations

    def write_measurements(self, run_id: str, measurements: Sequence[Measurement]) -> None:
        """One file an evaluation, named by its step: the same one again replaces it."""
        table = pa.Table.from_pylist([dataclasses.asdict(one) for one in measurements], schema=MEASUREMENT_SCHEMA)
        name = f"step-{measurements[0].step:09d}.parquet"
        self.files.write(f"{EVALUATIONS}/{check_name('run_id', run_id)}/{name}", parquet_bytes(table))

    def measurements(self, run_id: str) -> list[Measurement]:
        """Of all evaluations of a run, by step."""
        if not _SAFE_NAME.fullmatch(run_id):
            return []
        single = self._single_measurements(run_id)
        return with_compacted(single, self.compacted_evaluations.parts(), run_id)

    def all_measurements(self) -> dict[str, list[Measurement]]:
        """Of all runs that were evaluated; asking for them one by one lists folders 10,000 times."""
        folders = self.files.folders(EVALUATIONS)
        with ThreadPoolExecutor(self.files.threads) as pool:
            singles = dict(zip(folders, pool.map(self._single_measurements, folders), strict=True))
        parts = self.compacted_evaluations.parts()
        run_ids = singles.keys() | {
            run_id for part in parts if isinstance(part, EvaluationPart) for run_id in part.rows
        }
        return {run_id: with_compacted(singles.get(run_id, []), parts, run_id) for run_id in sorted(run_ids)}

    def _single_measurements(self, run_id: str) -> list[Measurement]:
        rows = self._rows(f"{EVALUATIONS}/{run_id}", "step-")
        return [Measurement(**row) for row in rows if list(row) == MEASUREMENT_SCHEMA.names]

    # -- forecasts

    def seal(self, forecast: Forecast) -> Forecast:
        """Writes the forecast unless one is sealed for this run, law and set of points; returns the one that counts.

        Raises InputError where the run has begun: what is said then is no forecast.
        """
        for field in ("run_id", "law", "points_sha256"):
            check_name(field, getattr(forecast, field))
        if (sealed := self._sealed(forecast)) is not None:
            return sealed
        if (status := self._begun(forecast.run_id)) is not None:
            raise InputError(
                f"run {forecast.run_id} has begun ({status}); a forecast is sealed before its run begins, and none can "
                f"be added now"
            )
        ledger.seal(self.files, forecast)
        sealed = self._sealed(forecast)
        assert sealed is not None
        return sealed

    def _begun(self, run_id: str) -> str | None:
        """How a run stands that has begun; None where it has not."""
        record = self.read(run_id)
        if record is None:
            return None if self.files.identity(_run_file(run_id)) is None else "its record is damaged"
        return None if record.started_at is None else record.status

    def _sealed(self, forecast: Forecast) -> Forecast | None:
        same = (forecast.law, forecast.points_sha256)
        found = [one for one in self.forecasts_of(forecast.run_id) if (one.law, one.points_sha256) == same]
        return found[0] if found else None

    def forecasts_of(self, run_id: str) -> list[Forecast]:
        """Oldest first. Raises InputError where a file is damaged: what it says must not be sealed anew."""
        return ledger.sealed_of(self.files, check_name("run_id", run_id))

    def forecasts(self) -> tuple[list[Forecast], list[Damaged]]:
        """All sealed forecasts, oldest first, and the files that could not be read."""
        return ledger.all_sealed(self.files)

    # -- the rest

    def write_text(self, name: str, text: str) -> Path:
        """A named text file such as a fit's JSON record. The path is where it lies in a store that is a folder."""
        self.files.write(name, text.encode())
        return self.local / name

    def put_folder(self, name: str, folder: Path) -> None:
        """Stores a local folder as one tar object, in place of what had this name."""
        carry.put_folder(self.files, name, folder)

    def get_folder(self, name: str, folder: Path) -> bool:
        """Brings back what `put_folder` stored, in place of what is there; False where nothing was stored."""
        return carry.get_folder(self.files, name, folder)

    def checkpoint_folder(self, run_id: str) -> Path:
        return (self.local / "checkpoints" / check_name("run_id", run_id)).absolute()

    def require_writable(self) -> None:
        """Raises InputError before anything trains if the store cannot be written, or must not be: a newer version's
        runs would be trained again and overwritten. What is read for that is remembered for `records`."""
        probe = f"{RUNS}/.probe-{hashlib.sha256(str(id(self)).encode()).hexdigest()[:8]}"
        try:
            self.files.write(probe, b"")
            self.files.delete(probe)
        except OSError as error:
            raise InputError(
                f"store {self.name!r} cannot be written ({error.strerror or error}); give another with store=FOLDER"
            ) from None
        newer = [file for file in self.records()[1] if file.newer]
        if newer:
            more = f", and {len(newer) - 1} more files" if len(newer) > 1 else ""
            raise InputError(f"{newer[0].path} was {newer[0].reason}, or give another store with store=FOLDER{more}")

    def _rows(self, folder: str, prefix: str) -> list[dict]:
        """Of all readable files of a folder that begin with this, in the order of their names."""
        for _ in range(LISTINGS):
            rows: list[dict] = []
            try:
                for entry in self.files.entries(folder):
                    if entry.name.startswith(f"{folder}/{prefix}") and entry.name.endswith(".parquet"):
                        rows += self._file_rows(entry.name)
                return rows
            except FileNotFoundError:  # a compaction has merged it: what it held is in a file that is there now
                continue
        return []

    def _file_rows(self, name: str) -> list[dict]:
        """Raises FileNotFoundError; empty where the file is damaged otherwise."""
        try:
            return pq.ParquetFile(pa.BufferReader(self.files.read(name))).read().to_pylist()
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError):
            return []


def parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def check_name(field: str, name: str) -> str:
    """A name that may become part of a path. Raises InputError."""
    if not _SAFE_NAME.fullmatch(name):
        raise InputError(
            f"{field} is {name[:60]!r}; allowed are 1 to 100 letters, digits, '.', '_' and '-', starting with a letter "
            f"or digit"
        )
    return name


def _order(entry: Entry, record: RunRecord) -> tuple[bool, str]:
    """A copy under another name comes before the file that `write` would replace."""
    return entry.stem == record.run_id, entry.name


def _run_file(run_id: str) -> str:
    return f"{RUNS}/{run_id}.parquet"
