"""Points from a file: CSV or Parquet, one file, several, or a glob, with the names of the columns given."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitting.errors import InputError
from fitting.points import LARGEST_COUNT, LARGEST_FLOPS, Points, check_column
from fitting.replicates import RECIPE, SEED, SPEC, replicates
from fitting.table import Table, numbers, read_table, require
from fitting.where import names_in, rows_where

STANDARD_INPUTS = ("n_params", "d_tokens", "flops")  # Points has them whatever the law
FLOPS, STATUS, ROLE = "flops", "status", "role"
N_PARAMS, SWEEP_COUNT = "n_params", "n_params_non_embedding"
DONE, CHECK = "done", "check"  # of a store: a finished run; one that checks the recipe and was trained another way


@dataclass(frozen=True)
class Columns:
    """Which column of the file means what."""

    n_params: str | None = None  # None: n_column_of decides
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
    needed = {columns.d_tokens, columns.loss, *inputs, *names_in(where)}
    needed |= {name for name in (columns.n_params, columns.flops, columns.cluster) if name}
    wanted = needed | {FLOPS, STATUS, ROLE, SEED, SPEC, N_PARAMS, SWEEP_COUNT}
    table = read_table(paths, wanted)
    if SEED in table and SPEC not in table:  # no store of ours
        table = read_table(paths, wanted | {*RECIPE})
    if not needed | {n_column_of(table, columns)} <= table.keys():
        table = read_table(paths)  # the refusal says which columns there are
    source = ", ".join(paths)
    kept, excluded = runs_of_a_law(table, where, source, columns.loss == "loss")
    return points_of(kept, columns, source, inputs, excluded)


def n_column_of(table: Table, columns: Columns) -> str:
    """The column of N: the one that was named; of a store the count of model.n and of its own law; else n_params."""
    if columns.n_params is not None:
        return columns.n_params
    return SWEEP_COUNT if SPEC in table and SWEEP_COUNT in table else N_PARAMS


def runs_of_a_law(
    table: Table, where: str | None, source: str, finished: bool = True, checks: bool = False
) -> tuple[Table, list[str]]:
    """The rows that may enter a law, and one sentence for each group of the others.

    Of a store these are finished runs (unless `finished` is False) that do not check the recipe (unless `checks`).
    """
    excluded: list[str] = []
    rows = len(next(iter(table.values()), []))
    if where is not None:
        keep = rows_where(table, where, source)
        table = {name: values[keep] for name, values in table.items()}
        if keep.sum() < rows:
            excluded.append(f"{rows - int(keep.sum())} of {rows} rows by --where {where!r}")
    if STATUS in table and finished:
        done = np.asarray([status == DONE for status in table[STATUS]], dtype=bool)
        if not done.all():
            statuses = sorted({str(status) for status in table[STATUS][~done]})
            missing = int((~done).sum())
            excluded.append(f"{missing} run{'s' * (missing > 1)} with status {', '.join(statuses)}")
            table = {name: values[done] for name, values in table.items()}
    if ROLE in table and not checks:
        kept = np.asarray([role != CHECK for role in table[ROLE]], dtype=bool)
        if not kept.all():
            count = int((~kept).sum())
            excluded.append(f"{count} run{'s' * (count > 1)} that check{'s' * (count == 1)} the recipe")
            table = {name: values[kept] for name, values in table.items()}
    return table, excluded


def points_of(
    table: Table, columns: Columns, source: str, inputs: Sequence[str] = (), excluded: Sequence[str] = ()
) -> Points:
    """Validated points, one for each row of the table."""
    loss = numbers(table, columns.loss, source)
    n_params, d_tokens = _counts(table, columns, source)
    if not len(loss):
        after = f" after {excluded[-1]}" if excluded else ""
        raise InputError(f"{source}: no rows to fit{after}; need one run a row")
    flops, flops_definition = _flops(table, columns, source, 6.0 * n_params * d_tokens)
    cluster = require(table, columns.cluster, source) if columns.cluster else range(len(loss))
    return Points(
        n_params=n_params,
        d_tokens=d_tokens,
        loss=loss,
        flops=flops,
        cluster=tuple(str(label) for label in cluster),
        source=source,
        n_definition=n_column_of(table, columns),
        flops_definition=flops_definition,
        excluded=tuple(excluded),
        extra={name: numbers(table, name, source) for name in inputs if name not in STANDARD_INPUTS},
        replicate=replicates(table, n_params, d_tokens),
    )


def _flops(table: Table, columns: Columns, source: str, flops_6nd: np.ndarray) -> tuple[np.ndarray, str]:
    """The column that was named, else that of the usual name where every row has a usable number there, else 6ND."""
    if columns.flops is not None:
        return numbers(table, columns.flops, source), columns.flops
    if FLOPS not in table:
        return flops_6nd, "6ND"
    try:
        flops = numbers(table, FLOPS, source)
        check_column(FLOPS, flops, LARGEST_FLOPS, source)
    except InputError:
        return flops_6nd, f"6ND, as column {FLOPS!r} has rows without a usable number"
    return flops, FLOPS


def read_targets(
    path: str, columns: Columns = Columns(), inputs: Sequence[str] = (), counted: str | None = None
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """N, D and further inputs of the runs to predict, row by row; a loss column is not needed and not read.

    counted: the column of N that the law was fitted in; a file without it has its N under n_params.
    """
    table = read_table([path])
    if counted is not None:
        only = N_PARAMS in table and counted not in table
        columns = dataclasses.replace(columns, n_params=N_PARAMS if only else counted)
    n_params, d_tokens = _counts(table, columns, path)
    if not len(n_params):
        raise InputError(f"{path}: no rows to predict; need one run a row")
    return n_params, d_tokens, {name: numbers(table, name, path) for name in inputs if name not in STANDARD_INPUTS}


def read_design(
    paths: Sequence[str], columns: Columns = Columns(), where: str | None = None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...] | None]:
    """N, D and the clusters of planned or finished runs, those that check the recipe left out."""
    source = ", ".join(paths)
    table, _ = runs_of_a_law(read_table(paths), where, source, finished=False)
    return design_of(table, columns, source)


def design_of(table: Table, columns: Columns, source: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...] | None]:
    """Validated N, D and the clusters, one for each row of the table."""
    n_params, d_tokens = _counts(table, columns, source)
    if not len(n_params):
        raise InputError(f"{source}: no runs; need one a row")
    if columns.cluster is None:
        return n_params, d_tokens, None
    return n_params, d_tokens, tuple(str(label) for label in require(table, columns.cluster, source))


def _counts(table: Table, columns: Columns, source: str) -> tuple[np.ndarray, np.ndarray]:
    """N and D of every row."""
    name = n_column_of(table, columns)
    n_params, d_tokens = (numbers(table, each, source) for each in (name, columns.d_tokens))
    check_column(name, n_params, LARGEST_COUNT, source)
    check_column(columns.d_tokens, d_tokens, LARGEST_COUNT, source)
    return n_params, d_tokens
