"""How is a run written to a Parquet file, and read back fast? One row a file of its own, or many in a compacted one.

A run's own file repeats its row in its footer (fitting/footer.py) and is written without dictionaries, statistics and
compression, which a single row does not pay for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fitting.footer import VERSION, footer, row_in_footer
from results.migrate import migrated
from results.record import SCHEMA_VERSION, RunRecord, record_fields

_ARROW: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}
_FIELDS = record_fields()
_DEFAULTS = {f.name: f.default for f in dataclasses.fields(RunRecord) if f.default is not dataclasses.MISSING}
_ALLOWED = {  # by column: Python types that it may hold
    name: (kind, *((int,) if kind is float else ()), *((type(None),) if _DEFAULTS.get(name, "") is None else ()))
    for name, kind in _FIELDS.items()
}
UNREADABLE = (pa.ArrowException, OSError, ValueError, TypeError, LookupError)  # what damaged content raises


class NewerSchema(ValueError):
    """The file is whole, but a later version of this software wrote it: its columns may mean something else."""

    def __init__(self, version: int):
        super().__init__(
            f"written by a newer version (schema {version}, this one reads up to {SCHEMA_VERSION}); upgrade isoflop"
        )


def run_schema() -> pa.Schema:
    """One fixed schema, its version in the metadata."""
    fields = [pa.field(name, _ARROW[kind]) for name, kind in _FIELDS.items()]
    return pa.schema(fields, metadata={VERSION: str(SCHEMA_VERSION)})


def encode_run(record: RunRecord) -> bytes:
    table = pa.Table.from_pylist([vars(record)], schema=run_schema())
    sink = pa.BufferOutputStream()
    plain: dict[str, Any] = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    with pq.ParquetWriter(sink, table.schema, store_schema=False, **plain) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(footer(SCHEMA_VERSION, table.to_pylist()[0]))
    return sink.getvalue().to_pybytes()


def decode_run(data: bytes) -> RunRecord:
    """Raises NewerSchema, or one of UNREADABLE."""
    file = pq.ParquetFile(pa.BufferReader(data))
    found = file.metadata.metadata or {}
    version = _version(found)
    row = row_in_footer(found) or file.read(use_threads=False).to_pylist()[0]
    return _record(migrated(row, version))


def encode_runs(records: Sequence[RunRecord]) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist([vars(record) for record in records], schema=run_schema())
    pq.write_table(table, sink, compression="zstd", write_statistics=False)
    return sink.getvalue().to_pybytes()


def decode_runs(data: bytes) -> list[RunRecord]:
    """All rows of a compacted file. Raises NewerSchema, or one of UNREADABLE."""
    table = pq.ParquetFile(pa.BufferReader(data)).read()
    version = _version(table.schema.metadata or {})
    if version < SCHEMA_VERSION:
        return [_record(migrated(row, version)) for row in table.to_pylist()]
    columns = []
    for name, kind in _FIELDS.items():
        if name not in table.column_names and name in _DEFAULTS:  # it came to this version later
            columns.append([_DEFAULTS[name]] * len(table))
            continue
        column = table.column(name).cast(_ARROW[kind])
        if column.null_count and type(None) not in _ALLOWED[name]:
            raise TypeError(f"column {name} is empty in {column.null_count} rows")
        columns.append(column.to_pylist())
    return [_made(dict(zip(_FIELDS, row, strict=True))) for row in zip(*columns, strict=True)]


def run_ids(data: bytes) -> list[str]:
    """Of a compacted file, without reading the rest of it. Raises NewerSchema, or one of UNREADABLE."""
    file = pq.ParquetFile(pa.BufferReader(data))
    _version(file.metadata.metadata or {})
    return file.read(columns=["run_id"]).column("run_id").to_pylist()


def _version(metadata: Mapping[bytes, bytes]) -> int:
    """A file that does not say is read as one of today: its columns must do."""
    version = int(metadata.get(VERSION, SCHEMA_VERSION))
    if version > SCHEMA_VERSION:
        raise NewerSchema(version)
    return version


def _record(row: Mapping[str, Any]) -> RunRecord:
    """Unknown columns are dropped, missing ones take their default. Raises TypeError where that leaves no record."""
    values = {}
    for name, kinds in _ALLOWED.items():
        if name not in row and name not in _DEFAULTS:
            raise TypeError(f"column {name} is missing")
        value = values[name] = row[name] if name in row else _DEFAULTS[name]
        if type(value) not in kinds:
            raise TypeError(f"column {name} is {'empty' if value is None else f'{value!r:.40}'}")
    return _made(values)


def _made(values: dict[str, Any]) -> RunRecord:
    """As RunRecord(**values), in a seventh of the time: a frozen dataclass sets its 84 fields one by one."""
    record = object.__new__(RunRecord)
    vars(record).update(values)
    return record
