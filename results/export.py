"""One wide table of a store: every column of every run, and a column for each figure of its last evaluation."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from fitting.errors import InputError
from results.store import Store


def wide_rows(store: Store) -> list[dict[str, Any]]:
    """Evaluation columns are METRIC:NAME, such as bpb:code or accuracy:arithmetic/2-digit; loss:all is the loss."""
    rows = []
    for record in store.records()[0]:
        measured = store.measurements(record.run_id)
        last = max((one.step for one in measured), default=0)
        columns = {one.column: one.value for one in measured if one.step == last}
        rows.append(dataclasses.asdict(record) | columns)
    return rows


def write_export(store: Store, path: Path) -> int:
    """CSV or Parquet by the suffix; the number of runs. Raises InputError."""
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out is {str(path)!r}; allowed are names that end in .csv or .parquet")
    rows = wide_rows(store)
    if not rows:
        raise InputError(f"store {store.path} holds no runs that can be read; there is nothing to export")
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    try:
        if path.suffix == ".csv":
            pa.csv.write_csv(table, path)
        else:
            pq.write_table(table, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    return len(rows)
