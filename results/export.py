"""One wide table of a store: every column of every run, and a column for each figure of its last evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from fitting.errors import InputError
from results.measurement import Measurement
from results.store import Store

WHOLE = "all"  # the name of the whole text among measurements
ESCAPE = "domain:"


def wide_rows(store: Store) -> list[dict[str, Any]]:
    """Every column of the record, and those of `evaluation_column` for the figures of the last evaluation."""
    rows, evaluated = [], store.all_measurements()
    for record in store.records()[0]:
        measured = evaluated.get(record.run_id, [])
        last = max((one.step for one in measured), default=0)
        columns = {evaluation_column(one): one.value for one in measured if one.step == last}
        rows.append(vars(record) | columns)
    return rows


def evaluation_column(one: Measurement) -> str:
    """METRIC:NAME for domains (loss:code) and tasks (accuracy:arithmetic/2-digit), METRIC:all for the whole text,
    METRIC_at_position:FIRST for a bucket of positions.

    No two figures share one: text and tasks have no metric in common, and a domain that is called as the whole is, or
    as such a domain is written, gets `domain:` before its name.
    """
    if one.kind == "position":
        return f"{one.metric}_at_position:{one.name}"
    taken = one.kind == "domain" and (one.name == WHOLE or one.name.startswith(ESCAPE))
    return f"{one.metric}:{ESCAPE if taken else ''}{one.name}"


def write_export(store: Store, path: Path) -> int:
    """CSV or Parquet by the suffix; the number of runs. Raises InputError."""
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out is {str(path)!r}; allowed are names that end in .csv or .parquet")
    rows = wide_rows(store)
    if not rows:
        raise InputError(f"store {store.name} holds no runs that can be read; there is nothing to export")
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
