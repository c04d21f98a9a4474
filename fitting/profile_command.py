"""python -m fitting profile: how far can each constant be moved before the points object?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from fitting.fit import Fit, fit_law
from fitting.laws import law_named
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
    PointsOption,
    WhereOption,
)
from fitting.predict import LEVEL
from fitting.profile import Profile, profile
from fitting.read import Columns, read_points
from fitting.record import fit_record
from fitting.show import plain, wide_enough

RESAMPLES = 1000  # of the bootstrap that stands beside


def profile_constants(
    points: PointsOption,
    law: LawOption = "chinchilla",
    constant: Annotated[
        list[str] | None, typer.Option(help="which constant; may be given again [default: all]")
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
    """Profile likelihoods: the interval of each constant, or that nothing in the points holds it."""
    columns = Columns(n_column, d_column, loss_column, flops_column, cluster_column)
    fit = fit_law(read_points(points, columns, where, law_named(law).inputs), law, delta_of(objective), RESAMPLES)
    found = profile(fit, tuple(constant) if constant else None, level)
    if as_json:
        record = {
            "fit": fit_record(fit),
            "profiles": [
                {field.name: plain(getattr(one, field.name)) for field in dataclasses.fields(one)} for one in found
            ],
        }
        typer.echo(json.dumps(record, indent=2))
        return
    _tables(fit, found, level)


def _tables(fit: Fit, found: Sequence[Profile], level: float) -> None:
    console = wide_enough()
    console.print(f"[bold]{fit.law.equation}[/bold]  {len(fit.points)} points; {fit.status.value}: {fit.sentence}")
    table = Table(title=f"Profile likelihood, {level:.0%}")
    for header in ("constant", "value", "low", "high", "bootstrap", "identified"):
        table.add_column(header, justify="left" if header == "constant" else "right")
    draws = fit.constant_draws()
    for one in found:
        tails = np.quantile(draws[one.name], [(1 - level) / 2, (1 + level) / 2]) if one.name in draws else None
        table.add_row(
            one.name,
            f"{one.best:.5g}",
            "open" if one.low is None else f"{one.low:.5g}",
            "open" if one.high is None else f"{one.high:.5g}",
            "" if tails is None else f"{tails[0]:.5g} .. {tails[1]:.5g}",
            "yes" if one.identified else "no",
        )
    console.print(table)
    for one in found:
        if not one.identified:
            console.print(one.sentence)
