"""How are the runs of a store's folder read by somebody who only knows its files?

Each run has a Parquet file of its own, or a row in a compacted one, or both: then its own is newer. Files are written
whole and only deleted once another holds their rows, so the single ones are listed first and the compacted ones last.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

SINGLE, COMPACTED = "runs/*.parquet", "compact/runs-*.parquet"
RUN_ID = "run_id"
THREADS = 2  # parsing a footer leaves Python's lock free, the rest does not: more take longer
LISTINGS = 10  # each failure means that another compaction ended meanwhile

Read = Callable[[Path], "pa.Table"]


def store_table(folder: Path, read: Read) -> pa.Table | None:
    """One row a run, by run_id; None where the folder holds no run. `read` may raise FileNotFoundError."""
    import pyarrow as pa

    with ThreadPoolExecutor(THREADS) as pool:
        singles = list(pool.map(lambda file: _unless_gone(file, read), sorted(folder.glob(SINGLE))))
    tables = [*_compacted(folder, read), *(table for table in singles if table is not None)]
    if not tables:
        return None
    table = pa.concat_tables(tables, promote_options="permissive")
    if RUN_ID not in table.column_names or table.column(RUN_ID).null_count:
        return table  # somebody else's files
    rows = {run_id: row for row, run_id in enumerate(table.column(RUN_ID).to_pylist())}  # the last one is the newest
    return table.take([rows[run_id] for run_id in sorted(rows)])


def _compacted(folder: Path, read: Read) -> list[pa.Table]:
    """As they all stood at one moment."""
    tables: list[pa.Table | None] = []
    for _ in range(LISTINGS):
        listed = sorted(folder.glob(COMPACTED))
        tables = [_unless_gone(file, read) for file in listed]
        if listed == sorted(folder.glob(COMPACTED)):
            break
    return [table for table in tables if table is not None]


def _unless_gone(file: Path, read: Read) -> pa.Table | None:
    try:
        return read(file)
    except FileNotFoundError:  # compacted since it was listed
        return None
