"""The store: one Parquet file a run, curves in parts, a ledger of sealed forecasts. Rename is the only commit."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import tempfile
import typing
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fitting.errors import InputError
from results.measurement import MEASUREMENT_SCHEMA, Measurement
from results.record import SCHEMA_VERSION, RunRecord, record_fields

DEFAULT_STORE = "store"
_ARROW: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def run_schema() -> pa.Schema:
    """One fixed schema, its version in the metadata."""
    fields = [pa.field(name, _ARROW[kind]) for name, kind in record_fields().items()]
    return pa.schema(fields, metadata={"isoflop_schema": str(SCHEMA_VERSION)})


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


@dataclass(frozen=True)
class Forecast:
    """A prediction sealed before its run is trained."""

    run_id: str
    law: str
    points_sha256: str
    points: int
    n_definition: str
    loss: float
    low: float
    high: float
    level: float
    span: float  # target FLOPs / largest fitted FLOPs
    status: str
    sentence: str
    sealed_at: float  # seconds since 1970 (UTC)


@dataclass(frozen=True)
class Damaged:
    """A file of the store that cannot be read; it is named and left out, never fatal."""

    path: Path
    reason: str


class Store:
    """A folder. Every file has one writer and appears by rename, so readers need no locks."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    # -- runs

    def write(self, record: RunRecord) -> None:
        table = pa.Table.from_pylist([dataclasses.asdict(record)], schema=run_schema())
        self._replace_parquet(self.path / "runs" / f"{record.run_id}.parquet", table)

    def read(self, run_id: str) -> RunRecord | None:
        file = self.path / "runs" / f"{run_id}.parquet"
        try:
            return _record(pq.read_table(file).to_pylist()[0])
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError, IndexError, TypeError):
            return None

    def records(self) -> tuple[list[RunRecord], list[Damaged]]:
        """All runs, oldest first, and the files that could not be read."""
        found, damaged = [], []
        for file in sorted((self.path / "runs").glob("*.parquet")):
            if file.name.startswith("."):
                continue
            try:
                found.append(_record(pq.read_table(file).to_pylist()[0]))
            except (pa.ArrowException, OSError, IndexError, TypeError) as error:
                first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
                damaged.append(Damaged(file, first_line))
        return sorted(found, key=lambda record: record.started_at or 0.0), damaged

    # -- curves

    def write_curve(self, run_id: str, rows: Sequence[Mapping[str, float]]) -> None:
        """One part, named by its last step and attempt, so that a later attempt never overwrites."""
        last = rows[-1]
        name = f"part-{int(last['step']):09d}-{int(last['attempt']):03d}.parquet"
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=CURVE_SCHEMA)
        self._replace_parquet(self.path / "curves" / run_id / name, table)

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
        for file in sorted((self.path / "curves" / run_id).glob("part-*.parquet")):
            with contextlib.suppress(pa.ArrowException, OSError):
                for row in pq.read_table(file).to_pylist():
                    kept = rows.get(row["step"])
                    if kept is None or kept["attempt"] <= row["attempt"]:
                        rows[row["step"]] = row
        return rows

    # -- evaluations

    def write_measurements(self, run_id: str, measurements: Sequence[Measurement]) -> None:
        """One file an evaluation, named by its step: the same one again replaces it."""
        table = pa.Table.from_pylist([dataclasses.asdict(one) for one in measurements], schema=MEASUREMENT_SCHEMA)
        name = f"step-{measurements[0].step:09d}.parquet"
        self._replace_parquet(self.path / "evaluations" / run_id / name, table)

    def measurements(self, run_id: str) -> list[Measurement]:
        """Of all evaluations of a run, by step."""
        found: list[Measurement] = []
        for file in sorted((self.path / "evaluations" / run_id).glob("step-*.parquet")):
            with contextlib.suppress(pa.ArrowException, OSError, TypeError):
                found += [Measurement(**row) for row in pq.read_table(file).to_pylist()]
        return found

    # -- forecasts

    def seal(self, forecast: Forecast) -> Forecast:
        """Writes the forecast unless one is sealed for this run already; returns the one that counts."""
        file = self.path / "forecasts" / f"{forecast.run_id}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._temporary(file) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(forecast), indent=2) + "\n")
            with contextlib.suppress(FileExistsError):
                os.link(temporary, file)  # unlike rename, never replaces: the first seal holds
        sealed = self.forecast(forecast.run_id)
        assert sealed is not None
        return sealed

    def forecast(self, run_id: str) -> Forecast | None:
        """The sealed forecast of a run. Raises InputError where its file is damaged: it must not be sealed anew."""
        file = self.path / "forecasts" / f"{run_id}.json"
        try:
            return _forecast(json.loads(file.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{file} cannot be read ({error}); restore it, or move it away to seal anew") from None

    def forecasts(self) -> tuple[list[Forecast], list[Damaged]]:
        """All sealed forecasts, oldest first, and the files that could not be read."""
        found, damaged = [], []
        for file in sorted((self.path / "forecasts").glob("[!.]*.json")):
            try:
                found.append(_forecast(json.loads(file.read_text())))
            except (OSError, ValueError, TypeError) as error:
                damaged.append(Damaged(file, str(error).splitlines()[0] if str(error) else type(error).__name__))
        return sorted(found, key=lambda forecast: forecast.sealed_at), damaged

    # -- the rest

    def write_text(self, name: str, text: str) -> Path:
        """A named text file such as a fit's JSON record, by rename."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._temporary(file) as temporary:
            temporary.write_text(text)
            os.replace(temporary, file)
        return file

    def checkpoint_folder(self, run_id: str) -> Path:
        return (self.path / "checkpoints" / run_id).absolute()

    def require_writable(self) -> None:
        """Raises InputError before anything trains if the store cannot be written."""
        try:
            (self.path / "runs").mkdir(parents=True, exist_ok=True)
            with self._temporary(self.path / "runs" / "probe"):
                pass
        except OSError as error:
            raise InputError(
                f"store {str(self.path)!r} cannot be written ({error.strerror}); give another with store=FOLDER"
            ) from None

    def _replace_parquet(self, file: Path, table: pa.Table) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._temporary(file) as temporary:
            pq.write_table(table, temporary, compression="zstd")
            os.replace(temporary, file)

    @contextlib.contextmanager
    def _temporary(self, file: Path) -> Generator[Path]:
        """A file beside the final one whose name starts with a dot: directory readers skip it."""
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        os.fchmod(handle, 0o666 & ~_umask())  # mkstemp's 0600 would hide a shared store from everybody else
        os.close(handle)
        try:
            yield Path(name)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_name(field: str, name: str) -> str:
    """A name that may become part of a path. Raises InputError."""
    if not _SAFE_NAME.fullmatch(name):
        raise InputError(
            f"{field} is {name[:60]!r}; allowed are 1 to 100 letters, digits, '.', '_' and '-', starting with a letter "
            f"or digit"
        )
    return name


def _record(row: dict) -> RunRecord:
    """Unknown columns (a newer version wrote them) are dropped; missing ones take their default.

    Raises TypeError where a column that every run has is missing or empty.
    """
    known = record_fields()
    record = RunRecord(**{name: value for name, value in row.items() if name in known})
    for field in dataclasses.fields(RunRecord):
        if getattr(record, field.name) is None and field.default is not None:
            raise TypeError(f"column {field.name} is empty")
    return record


def _forecast(row: dict) -> Forecast:
    """Raises TypeError where a field is missing, unknown or of another kind."""
    forecast = Forecast(**row)
    for name, kind in typing.get_type_hints(Forecast).items():
        value = getattr(forecast, name)
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r:.60}, not of type {kind.__name__}")
    return forecast
