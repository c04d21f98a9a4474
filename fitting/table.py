"""How does a file become columns? CSV or Parquet, one file, several, a folder of a store, or a glob."""

from __future__ import annotations

import glob as globbing
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fitting.errors import InputError
from fitting.footer import row_in_footer
from fitting.read_store import RUN_ID, store_table

if TYPE_CHECKING:
    import pyarrow as pa

Table = dict[str, np.ndarray]  # column name -> (rows,)
SMALL = 1_000_000  # bytes; read at once and by one thread, as the file of one run is
NAMED, NAME_LENGTH = 100, 40  # columns that an error names, and characters of each
NUMBER_KINDS = "iuf"  # of NumPy's dtypes; dates and truth values have a float64 too, and it means nothing


def read_table(paths: Sequence[str], names: Collection[str] | None = None) -> Table:
    """Raises InputError where a file is not there or cannot be read.

    `names`: of Parquet files only these columns, where they are there. A store has a file a run, and a column of a
    file takes as long as all that the fit does with it.
    """
    import pyarrow as pa

    tables = [table for path in paths for table in _tables(path, names)]
    try:
        table = pa.concat_tables(tables, promote_options="permissive") if len(tables) > 1 else tables[0]
    except pa.ArrowException as error:
        said = str(error).splitlines()[0]
        raise InputError(f"{', '.join(paths)}: the files do not fit together ({said}); give one at a time") from None
    return {name: _values(table.column(name)) for name in table.column_names}


def require(table: Mapping[str, np.ndarray], name: str, source: str) -> np.ndarray:
    """One column. Raises InputError where it is not there."""
    if name in table:
        return table[name]
    separators = [word for sign, word in ((";", "';'"), ("\t", "tabs"), ("|", "'|'")) if sign in "".join(table)]
    if len(table) == 1 and separators:
        raise InputError(
            f"{source}: no column {name!r}; the header is one name, {', '.join(_named(table))}. Separate the columns "
            f"by commas, not by {separators[0]}"
        )
    raise InputError(
        f"{source}: no column {name!r}; the file has {', '.join(_named(table)) or 'none'}. "
        f"Name the right one with --n-column, --d-column, --loss-column, --flops-column or --cluster-column"
    )


def numbers(table: Mapping[str, np.ndarray], name: str, source: str) -> np.ndarray:
    """One column as float64, NaN where a cell is empty. Raises InputError where a cell is no number."""
    values = require(table, name, source)
    if values.dtype.kind in NUMBER_KINDS:
        return values.astype(np.float64)
    found = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        try:
            if isinstance(value, (bool, np.bool_)) or values.dtype.kind in "mM":
                raise TypeError
            found[row] = np.nan if value is None else float(value)
        except (TypeError, ValueError):
            raise InputError(
                f"{source}: column {name!r} holds {str(value)[:60]!r} in data row {row + 1}; allowed are numbers. "
                f"Correct it or leave the row out with --where"
            ) from None
    return found


def _named(table: Iterable[str]) -> list[str]:
    """So many columns, and so much of their names, as one line can bear."""
    names = sorted(table)
    shown = [name if len(name) <= NAME_LENGTH else f"{name[:NAME_LENGTH]}…" for name in names[:NAMED]]
    return shown + [f"{len(names) - NAMED} more"] * (len(names) > NAMED)


def _values(column: pa.ChunkedArray) -> np.ndarray:
    """(rows,), an empty cell of numbers as NaN. Arrow's own conversion imports pandas: a quarter of a second."""
    import pyarrow as pa

    number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if not number or column.null_count:
        return np.asarray(column.to_pylist(), np.float64 if number else object)
    kind = np.dtype(column.type.to_pandas_dtype())
    parts = [
        np.frombuffer(chunk.buffers()[1], kind, len(chunk), chunk.offset * kind.itemsize)
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _tables(path: str, names: Collection[str] | None) -> Sequence[pa.Table]:
    """At least one."""
    if Path(path).is_dir():
        stored = store_table(Path(path), lambda file: _read_file(file, names and {*names, RUN_ID}))
        if stored is not None:
            return [stored]
        found = sorted(Path(path).glob("*.parquet"))
    else:
        found = [Path(match) for match in sorted(globbing.glob(path))]
    if not found:
        raise InputError(f"{path}: no such file; give a CSV or Parquet file, a folder of Parquet files, or a glob")
    return [_read_file(file, names) for file in found]


def _read_file(file: Path, wanted: Collection[str] | None) -> pa.Table:
    """Raises InputError, and FileNotFoundError for a file that a store has moved meanwhile."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    try:
        if file.suffix == ".parquet":
            small = file.stat().st_size < SMALL
            parquet = pq.ParquetFile(pa.BufferReader(file.read_bytes()) if small else file, pre_buffer=False)
            schema = parquet.schema_arrow
            names = [name for name in schema.names if wanted is None or name in wanted]
            row = row_in_footer(parquet.metadata.metadata)
            if row is not None:
                return pa.Table.from_pylist([row], pa.schema([schema.field(name) for name in names]))
            return parquet.read(names, use_threads=not small)
        table = pyarrow.csv.read_csv(file)
        names = table.column_names  # decodes the header, which may be damaged
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        first_line = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(f"{file}: not readable as CSV or Parquet ({first_line}); give a table with a header") from None
    if len(set(names)) != len(names):
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1] if len(names) < 1000 else names
        raise InputError(f"{file}: the header names a column twice: {', '.join(_named(twice))}; rename one")
    return table
