"""python -m fitting isoflop and envelope: how N* grows with compute, by slices of equal compute or by the best runs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fitting.envelope import fit_envelope
from fitting.errors import InputError
from fitting.fit import fit_law
from fitting.isoflop import RESAMPLES, fit_isoflop
from fitting.isoflop_bias import isoflop_bias
from fitting.isoflop_curve import Method
from fitting.options import (
    ClusterColumn,
    DColumn,
    FlopsColumn,
    JsonOption,
    LevelOption,
    LossColumn,
    NColumn,
    PointsOption,
    ResamplesOption,
    WhereOption,
)
from fitting.predict import LEVEL
from fitting.read import Columns, read_points
from fitting.show_isoflop import envelope_json, envelope_tables, isoflop_json, isoflop_tables

BIAS_RESAMPLES = 100  # of the law that the bias is reckoned under; only its optimum counts


def isoflop(
    points: PointsOption,
    method: Annotated[str, typer.Option(help="akima or parabola")] = "akima",
    where: WhereOption = None,
    n_column: NColumn = None,
    d_column: DColumn = "d_tokens",
    loss_column: LossColumn = "loss",
    flops_column: FlopsColumn = None,
    cluster_column: ClusterColumn = None,
    as_json: JsonOption = False,
) -> None:
    """Approach 2: N* of each compute budget from its lowest point, with the bias of the grid; edge minima refused."""
    if method not in [choice.value for choice in Method]:
        raise InputError(f"--method is {method!r}; allowed are {', '.join(choice.value for choice in Method)}")
    columns = Columns(n_column, d_column, loss_column, flops_column, cluster_column)
    measured = read_points(points, columns, where)
    found = fit_isoflop(measured, Method(method))
    try:
        bias = isoflop_bias(found, fit_law(measured, resamples=BIAS_RESAMPLES).constants)
    except InputError:
        bias = None  # budgets enough for parabolas, points too few for the law that the bias is reckoned under
    if as_json:
        typer.echo(json.dumps(isoflop_json(found, bias), indent=2))
    else:
        isoflop_tables(found, bias)


def envelope(
    points: PointsOption,
    level: LevelOption = LEVEL,
    resamples: ResamplesOption = RESAMPLES,
    where: WhereOption = None,
    n_column: NColumn = None,
    d_column: DColumn = "d_tokens",
    loss_column: LossColumn = "loss",
    flops_column: FlopsColumn = None,
    cluster_column: ClusterColumn = None,
    as_json: JsonOption = False,
) -> None:
    """Approach 1: N* along the runs that none of less compute beats, where larger and smaller N were tried and lost."""
    if not 0 < level < 1:
        raise InputError(f"--level is {level:g}; allowed is 0 < level < 1. Give 0.9")
    columns = Columns(n_column, d_column, loss_column, flops_column, cluster_column)
    found = fit_envelope(read_points(points, columns, where), resamples=resamples, level=level)
    if as_json:
        typer.echo(json.dumps(envelope_json(found), indent=2))
    else:
        envelope_tables(found)
