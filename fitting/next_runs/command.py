"""python -m fitting next: which runs to buy so that the target's interval shrinks most for its FLOPs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fitting.errors import InputError
from fitting.options import DColumn, FlopsColumn, JsonOption, LossColumn, NColumn, PointsOption, WhereOption

LARGEST_FLOPS = 1e35  # as in the planner: more is an accident


def next_runs(
    points: PointsOption,
    target_flops: Annotated[float, typer.Option(help="compute of the run whose loss is to be known, 6ND FLOPs")],
    budget: Annotated[float, typer.Option(help="what all pilots may cost together, FLOPs")],
    candidates: Annotated[
        str | None, typer.Option(help="CSV or Parquet with N and D (and flops, if not 6ND) of the runs to choose among")
    ] = None,
    where: WhereOption = None,
    n_column: NColumn = None,
    d_column: DColumn = "d_tokens",
    loss_column: LossColumn = "loss",
    flops_column: FlopsColumn = None,
    out: Annotated[Path | None, typer.Option(help="CSV to write: the chosen runs, row by row")] = None,
    as_json: JsonOption = False,
) -> None:
    """Choose the next runs: those that narrow the target's interval most for their FLOPs; says stop when none pays."""
    from rich.console import Console

    from fitting.next_runs.answer import next_runs as choose
    from fitting.next_runs.candidates import read_candidates
    from fitting.next_runs.show import next_csv, next_json, next_tables
    from fitting.read import Columns, read_points

    for name, value in (("--target-flops", target_flops), ("--budget", budget)):
        if not 0 < value <= LARGEST_FLOPS:
            raise InputError(f"{name} is {value:g}; allowed is 0 < FLOPs <= {LARGEST_FLOPS:g}. Give it as 1e22")
    measured = read_points(points, Columns(n_column, d_column, loss_column), where)
    offered = None
    if candidates is not None:
        offered = read_candidates(candidates, measured.n_definition, d_column, flops_column)
    with Console(stderr=True).status("next runs") as status:
        answer = choose(measured, target_flops, budget, offered, lambda words: status.update(f"next runs: {words}"))
    if out is not None:
        try:
            out.write_text(next_csv(answer.runs))
        except OSError as error:
            raise InputError(f"--out {out}: {error.strerror}; give a file in a folder that can be written") from None
    if as_json:
        typer.echo(json.dumps(next_json(answer), indent=2))
    else:
        next_tables(answer)
