"""python -m fitting lint: can these runs identify a law, and if they are finished, what is wrong with them?"""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import numpy as np
import typer

from fitting.errors import InputError
from fitting.lint import Finding, Severity, lint_design
from fitting.options import (
    ClusterColumn,
    DColumn,
    JsonOption,
    LawOption,
    LossColumn,
    NColumn,
    PointsOption,
    WhereOption,
)
from fitting.read import Columns, design_of, n_column_of, points_of, runs_of_a_law
from fitting.table import Table, numbers, read_table


def lint(
    points: PointsOption,
    law: LawOption = "chinchilla",
    flops: Annotated[
        float | None,
        typer.Option(help="compute budget, 6ND, whose least loss runs may move [default: 10 times the largest]"),
    ] = None,
    where: WhereOption = None,
    n_column: NColumn = None,
    d_column: DColumn = "d_tokens",
    loss_column: LossColumn = "loss",
    cluster_column: ClusterColumn = None,
    as_json: JsonOption = False,
) -> None:
    """Can these runs identify a law? Exit code 1 if not. A planned design needs no loss column; finished runs are asked
    for copies, checkpoints taken as final, learning rates at the edge, and which of them move the law most.
    """
    if flops is not None and not 0 < flops < np.inf:
        raise InputError(f"--flops is {flops:g}; allowed is above 0. Give it as 1e22")
    columns = Columns(n_column, d_column, loss_column, None, cluster_column)
    table, source = read_table(points), ", ".join(points)
    planned, _ = runs_of_a_law(table, where, source, finished=False)
    n_params, d_tokens, cluster = design_of(planned, columns, source)
    findings = lint_design(n_params, d_tokens, cluster)
    finished = _finished(table, columns, where, source, checks=False)
    if finished is not None:
        refused = any(finding.severity is Severity.REFUSED for finding in findings)
        findings += _of_finished(finished, _finished(table, columns, where, source, checks=True), columns, source)
        if not refused:
            from fitting.lint_runs import lint_influence

            findings += lint_influence(points_of(finished, columns, source), law, flops)
    _show(findings, len(n_params), as_json)


def _of_finished(finished: Table, tried: Table | None, columns: Columns, source: str) -> list[Finding]:
    from fitting.lint_runs import lint_runs

    names = {"n_params": n_column_of(finished, columns), "d_tokens": columns.d_tokens, "loss": columns.loss}
    standard = [
        {**table, **{name: numbers(table, column, source) for name, column in names.items()}}
        for table in (finished, tried or finished)
    ]
    return lint_runs(points_of(finished, columns, source), *standard)


def _finished(table: Table, columns: Columns, where: str | None, source: str, checks: bool) -> Table | None:
    """The rows that have a loss; None where there are none: then the design is a plan."""
    if columns.loss not in table:
        return None
    kept, _ = runs_of_a_law(table, where, source, finished=columns.loss == "loss", checks=checks)
    measured = np.isfinite(numbers(kept, columns.loss, source))
    return {name: values[measured] for name, values in kept.items()} if measured.any() else None


def _show(findings: list[Finding], runs: int, as_json: bool) -> None:
    findings = sorted(findings, key=lambda finding: list(Severity).index(finding.severity))
    if as_json:
        typer.echo(json.dumps([{**dataclasses.asdict(f), "severity": f.severity.value} for f in findings], indent=2))
    elif all(finding.severity is Severity.NOTE for finding in findings):
        typer.echo(f"{runs} runs: nothing found; N and D vary enough to tell them apart")
    for finding in () if as_json else findings:
        typer.echo(f"{finding.severity.value}: {finding.name}: {finding.sentence}. To do: {finding.remedy}")
    if any(finding.severity is Severity.REFUSED for finding in findings):
        raise typer.Exit(1)
