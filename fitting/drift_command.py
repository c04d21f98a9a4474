"""python -m fitting drift: do the constants hold still as runs of more compute are added?"""

from __future__ import annotations

import json
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from fitting.allocate import Range
from fitting.drift import Drift, drift
from fitting.fit import Fit, fit_law
from fitting.laws import law_named
from fitting.objective import delta_of
from fitting.options import (
    ClusterColumn,
    DColumn,
    FlopsColumn,
    JsonOption,
    LawOption,
    LossColumn,
    NColumn,
    ObjectiveOption,
    PointsOption,
    WhereOption,
)
from fitting.predict import LEVEL
from fitting.read import Columns, read_points
from fitting.record import fit_record
from fitting.refit import RESAMPLES
from fitting.show import plain, wide_enough


def drift_constants(
    points: PointsOption,
    law: LawOption = "chinchilla",
    cut: Annotated[
        list[float] | None, typer.Option(help="keep runs up to this compute, FLOPs; may be given again [default: 10]")
    ] = None,
    where: WhereOption = None,
    n_column: NColumn = None,
    d_column: DColumn = "d_tokens",
    loss_column: LossColumn = "loss",
    flops_column: FlopsColumn = None,
    cluster_column: ClusterColumn = None,
    objective: ObjectiveOption = "huber",
    as_json: JsonOption = False,
) -> None:
    """Refit below growing compute cuts: constants with 90% intervals, and what each refit misses above its cut."""
    columns = Columns(n_column, d_column, loss_column, flops_column, cluster_column)
    fit = fit_law(read_points(points, columns, where, law_named(law).inputs), law, delta_of(objective), RESAMPLES)
    found = drift(fit, cut or None)
    if as_json:
        typer.echo(json.dumps(_record(fit, found), indent=2))
    else:
        _tables(fit, found)


def _columns(found: Drift) -> dict[str, Range]:
    """What is shown of each cut, by name: the allocation first, it is read most."""
    return ({"a of N* ~ C^a": found.n_exponent} if found.n_exponent else {}) | dict(found.constants)


def _tables(fit: Fit, found: Drift) -> None:
    console = wide_enough()
    console.print(f"[bold]{fit.law.equation}[/bold]  {len(fit.points)} points")
    shown = _columns(found)
    table = Table(
        title=f"The law below each cut ({LEVEL:.0%} intervals, bootstrap of {found.refits[-1].fit.resampled})"
    )
    for header in ("C up to", "points", *shown, "missed above", "status"):
        table.add_column(header, justify="left" if header == "status" else "right")
    for row, one in enumerate(found.refits):
        cells = [f"{part.value[row]:.4g}\n{part.low[row]:.3g} .. {part.high[row]:.3g}" for part in shown.values()]
        missed = found.held_out_median[row]
        table.add_row(
            f"{found.flops[row]:.3g}",
            str(found.kept[row]),
            *cells,
            f"{missed:.2%}" if np.isfinite(missed) else "",
            one.fit.status.value,
        )
    console.print(table)


def _record(fit: Fit, found: Drift) -> dict:
    return {
        "fit": fit_record(fit),
        "level": LEVEL,
        "flops": plain(found.flops),
        "kept": plain(found.kept),
        "constants": {
            name: {side: plain(getattr(part, side)) for side in ("value", "low", "high")}
            for name, part in _columns(found).items()
        },
        "held_out_median": plain(found.held_out_median),
        "held_out_largest": plain(found.held_out_largest),
        "status": [one.fit.status.value for one in found.refits],
        "sentence": [one.fit.sentence for one in found.refits],
    }
