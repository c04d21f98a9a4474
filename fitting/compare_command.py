"""python -m fitting compare: how many times the compute of sweep A does sweep B need for the same loss?"""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from fitting.compare import Multiplier, compare
from fitting.fit import Fit, fit_law
from fitting.laws import law_named
from fitting.lint import refuse_unidentifiable
from fitting.objective import delta_of
from fitting.options import (
    ClusterColumn,
    DColumn,
    FlopsColumn,
    JsonOption,
    LawOption,
    LevelOption,
    LossColumn,
    NColumn,
    ObjectiveOption,
    WhereOption,
)
from fitting.predict import LEVEL
from fitting.read import Columns, read_points
from fitting.record import fit_record
from fitting.show import plain, wide_enough

RESAMPLES = 1000
ROWS = 9  # of the table, where no budget was asked for


def compare_sweeps(
    a: Annotated[str, typer.Argument(help="points of sweep A: CSV or Parquet file, folder of a store, or glob")],
    b: Annotated[str, typer.Argument(help="points of sweep B")],
    law: LawOption = "chinchilla",
    flops: Annotated[
        list[float] | None,
        typer.Option(help="compute budget of A, 6ND; may be given again [default: where both have runs]"),
    ] = None,
    level: LevelOption = LEVEL,
    where: WhereOption = None,
    n_column: NColumn = None,
    d_column: DColumn = "d_tokens",
    loss_column: LossColumn = "loss",
    flops_column: FlopsColumn = None,
    cluster_column: ClusterColumn = None,
    objective: ObjectiveOption = "huber",
    as_json: JsonOption = False,
) -> None:
    """Two sweeps as compute multipliers, with intervals; losses must be of one unit and one held-out set."""
    columns = Columns(n_column, d_column, loss_column, flops_column, cluster_column)
    measured = [read_points([path], columns, where, law_named(law).inputs) for path in (a, b)]
    for points in measured:
        refuse_unidentifiable(points)
    fit_a, fit_b = (fit_law(points, law, delta_of(objective), RESAMPLES) for points in measured)
    found = compare(fit_a, fit_b, np.asarray(flops) if flops else None, level)
    if as_json:
        typer.echo(json.dumps(_record(fit_a, fit_b, found), indent=2))
    else:
        _tables(fit_a, fit_b, found, len(found.flops) if flops else ROWS)


def _tables(a: Fit, b: Fit, found: Multiplier, rows: int) -> None:
    console = wide_enough()
    for name, fit in (("A", a), ("B", b)):
        console.print(f"{name}: {fit.points.source}, {len(fit.points)} points; {fit.status.value}: {fit.sentence}")
    console.print(a.law.equation)
    table = Table(title="Compute that B needs for the loss of A, C = 6ND")
    for header in ("C of A (FLOPs)", "times", f"{found.level:.0%} interval", ""):
        table.add_column(header, justify="left" if not header else "right")
    for row in np.unique(np.linspace(0, len(found.flops) - 1, rows).astype(int)):
        reached = bool(found.reachable[row])
        table.add_row(
            f"{found.flops[row]:.3g}",
            f"{found.value[row]:.3g}" if reached else "none is enough",
            f"{found.low[row]:.3g} .. {found.high[row]:.3g}",
            "extrapolated" if found.extrapolated[row] else "",
        )
    console.print(table)
    console.print(found.sentence)


def _record(a: Fit, b: Fit, found: Multiplier) -> dict:
    def fields(value: Multiplier | object) -> dict:
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}  # ty: ignore[invalid-argument-type]

    return fields(found) | {
        "paired": None if found.paired is None else fields(found.paired),
        "a": fit_record(a, found.level),
        "b": fit_record(b, found.level),
    }
