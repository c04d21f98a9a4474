"""Points from a file: CSV or Parquet, one file, several, or a glob, with the names of the columns given."""

from __future__ import annotations

import ast
import glob as globbing
import operator
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fitting.errors import InputError
from fitting.footer import row_in_footer
from fitting.points import Points
from fitting.read_store import RUN_ID, store_table

if TYPE_CHECKING:
    import pyarrow as pa

SMALL = 1_000_000  # bytes; read at once and by one thread, as the file of one run is
STANDARD_INPUTS = ("n_params", "d_tokens", "flops")  # Points has them whatever the law


@dataclass(frozen=True)
class Columns:
    """Which column of the file means what."""

    n_params: str = "n_params"
    d_tokens: str = "d_tokens"
    loss: str = "loss"
    flops: str | None = None  # None: column "flops" where there is one, else 6ND
    cluster: str | None = None  # None: every row is its own cluster


def read_points(
    paths: Sequence[str],
    columns: Columns = Columns(),
    where: str | None = None,
    inputs: Sequence[str] = (),
) -> Points:
    """Reads, filters and validates; `inputs` are those of the law. Raises InputError with file, column and row."""
    source = ", ".join(paths)
    needed = {columns.n_params, columns.d_tokens, columns.loss, *inputs, *names_in(where)}
    needed |= {name for name in (columns.flops, columns.cluster) if name}
    table = read_table(paths, needed | {"flops", "status", "role"})
    if not needed <= table.keys():
        table = read_table(paths)  # the refusal says which columns there are
    excluded: list[str] = []
    rows = len(next(iter(table.values()), []))
    if where is not None:
        keep = rows_where(table, where, source)
        table = {name: values[keep] for name, values in table.items()}
        if keep.sum() < rows:
            excluded.append(f"{rows - int(keep.sum())} of {rows} rows by --where {where!r}")
    if "status" in table and columns.loss == "loss":
        done = np.asarray([status == "done" for status in table["status"]])
        if not done.all():
            statuses = sorted({str(status) for status in table["status"][~done]})
            excluded.append(f"{int((~done).sum())} runs with status {', '.join(statuses)}")
            table = {name: values[done] for name, values in table.items()}
    if "role" in table:  # of a store: runs that check the recipe were trained another way
        kept = np.asarray([role != "check" for role in table["role"]], dtype=bool)
        if not kept.all():
            count = int((~kept).sum())
            excluded.append(f"{count} run{'s' * (count > 1)} that check{'s' * (count == 1)} the recipe")
            table = {name: values[kept] for name, values in table.items()}
    n_params, d_tokens, loss = (
        _numbers(table, name, source) for name in (columns.n_params, columns.d_tokens, columns.loss)
    )
    if not len(loss):
        raise InputError(f"{source}: no rows to fit{' after ' + excluded[-1] if excluded else ''}; need one run a row")
    flops_name = columns.flops or ("flops" if "flops" in table else None)
    flops = _numbers(table, flops_name, source) if flops_name else 6.0 * n_params * d_tokens
    if columns.cluster:
        _require(table, columns.cluster, source)
    cluster = table[columns.cluster] if columns.cluster else range(len(loss))
    return Points(
        n_params=n_params,
        d_tokens=d_tokens,
        loss=loss,
        flops=flops,
        cluster=tuple(str(label) for label in cluster),
        source=source,
        n_definition=columns.n_params,
        flops_definition=flops_name or "6ND",
        excluded=tuple(excluded),
        extra={name: _numbers(table, name, source) for name in inputs if name not in STANDARD_INPUTS},
    )


def read_targets(
    path: str, columns: Columns = Columns(), inputs: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """N, D and further inputs of the runs to predict, row by row; a loss column is not needed and not read."""
    from fitting.points import LARGEST_COUNT, check_column

    table = read_table([path])
    n_params, d_tokens = (_numbers(table, name, path) for name in (columns.n_params, columns.d_tokens))
    if not len(n_params):
        raise InputError(f"{path}: no rows to predict; need one run a row")
    check_column(columns.n_params, n_params, LARGEST_COUNT, path)
    check_column(columns.d_tokens, d_tokens, LARGEST_COUNT, path)
    return n_params, d_tokens, {name: _numbers(table, name, path) for name in inputs if name not in STANDARD_INPUTS}


def read_design(
    paths: Sequence[str], columns: Columns = Columns(), where: str | None = None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...] | None]:
    """N, D and the clusters of planned or finished runs."""
    from fitting.points import LARGEST_COUNT, check_column

    table, source = read_table(paths), ", ".join(paths)
    if where is not None:
        keep = rows_where(table, where, source)
        table = {name: values[keep] for name, values in table.items()}
    n_params, d_tokens = (_numbers(table, name, source) for name in (columns.n_params, columns.d_tokens))
    if not len(n_params):
        raise InputError(f"{source}: no runs; need one a row")
    check_column(columns.n_params, n_params, LARGEST_COUNT, source)
    check_column(columns.d_tokens, d_tokens, LARGEST_COUNT, source)
    if columns.cluster is None:
        return n_params, d_tokens, None
    _require(table, columns.cluster, source)
    return n_params, d_tokens, tuple(str(label) for label in table[columns.cluster])


def read_table(paths: Sequence[str], names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Columns of one file, several, a folder of a store or a glob. Raises InputError where one cannot be read.

    `names`: of Parquet files only these columns, where they are there. A store has a file a run, and a column of a
    file takes as long as all that the fit does with it.
    """
    import pyarrow as pa

    tables = [table for path in paths for table in _tables(path, names)]
    table = pa.concat_tables(tables, promote_options="permissive") if len(tables) > 1 else tables[0]
    return {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}


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
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file}: not readable as CSV or Parquet ({first_line}); give a table with a header") from None
    if len(set(names)) != len(names):
        raise InputError(f"{file}: the header names a column twice: {', '.join(names)}; rename one")
    return table


def _require(table: dict[str, np.ndarray], name: str, source: str) -> None:
    if name not in table:
        raise InputError(
            f"{source}: no column {name!r}; the file has {', '.join(sorted(table)) or 'none'}. "
            f"Name the right one with --n-column, --d-column, --loss-column, --flops-column or --cluster-column"
        )


def _numbers(table: dict[str, np.ndarray], name: str, source: str) -> np.ndarray:
    _require(table, name, source)
    values = table[name]
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        for row, value in enumerate(values):
            try:
                float(value)
            except (TypeError, ValueError):
                raise InputError(
                    f"{source}: column {name!r} holds {str(value)[:60]!r} in data row {row + 1}; allowed are numbers. "
                    f"Correct it or leave the row out with --where"
                ) from None
        raise


_COMPARE: dict[type[ast.cmpop], Callable] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def names_in(expression: str | None) -> set[str]:
    """The columns that a --where names; none where it cannot be read, which `rows_where` says."""
    try:
        tree = ast.parse(expression or "", mode="eval")
    except SyntaxError:
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def rows_where(table: dict[str, np.ndarray], expression: str, source: str) -> np.ndarray:
    """Mask of the rows for which e.g. "flops < 1e21 and excluded == 0" holds. Comparisons, and, or, not; no code."""

    def value(node: ast.expr):
        if isinstance(node, ast.Name):
            if node.id not in table:
                raise InputError(f"--where names {node.id!r}; {source} has {', '.join(sorted(table))}")
            return table[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
            return node.value
        raise InputError(f"--where {expression!r}: {ast.unparse(node)!r} is not allowed; use column names and numbers")

    def mask(node: ast.expr):
        if isinstance(node, ast.BoolOp):
            parts = [mask(part) for part in node.values]
            return np.logical_and.reduce(parts) if isinstance(node.op, ast.And) else np.logical_or.reduce(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~mask(node.operand)
        if isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
            terms = [value(term) for term in (node.left, *node.comparators)]
            pairs = zip(node.ops, terms, terms[1:], strict=False)
            return np.logical_and.reduce([_COMPARE[type(op)](left, right) for op, left, right in pairs])
        raise InputError(f"--where {expression!r}: write comparisons joined by and/or/not, such as 'flops < 1e21'")

    try:
        tree = ast.parse(expression, mode="eval").body
        keep = np.asarray(mask(tree), dtype=bool)
    except (SyntaxError, TypeError) as error:
        raise InputError(f"--where {expression!r} cannot be read ({error}); write e.g. 'flops < 1e21'") from None
    rows = len(next(iter(table.values())))
    return np.broadcast_to(keep, (rows,)) if keep.ndim == 0 else keep
