"""python -m fitting: fit a law to points, predict runs, plan a budget, replay past sweeps, check a design."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fitting.cache import use_compile_cache
from fitting.compare_command import compare_sweeps
from fitting.drift_command import drift_constants
from fitting.errors import InputError, run_command
from fitting.isoflop_command import envelope, isoflop
from fitting.laws import law_named
from fitting.lint_command import lint
from fitting.next_runs.command import next_runs
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
    ResamplesOption,
    WhereOption,
)
from fitting.planner.command import plan
from fitting.points import LARGEST_FLOPS
from fitting.profile_command import profile_constants
from fitting.read import Columns, read_points, read_targets

app = typer.Typer(no_args_is_help=True, add_completion=True, help=__doc__, pretty_exceptions_enable=False)


@app.command()
def fit(
    points: PointsOption,
    law: LawOption = "chinchilla",
    where: WhereOption = None,
    n_column: NColumn = None,
    d_column: DColumn = "d_tokens",
    loss_column: LossColumn = "loss",
    flops_column: FlopsColumn = None,
    cluster_column: ClusterColumn = None,
    resamples: ResamplesOption = 4000,
    objective: ObjectiveOption = "huber",
    flops: Annotated[list[float] | None, typer.Option(help="compute budget for N*, D*, L*; may be given again")] = None,
    out: Annotated[Path | None, typer.Option(help="write the JSON record of the fit here")] = None,
    force: Annotated[bool, typer.Option("--force", help="fit runs that cannot identify the law all the same")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fit a law: constants with 90% intervals, the proof of convergence, and N*, D*, L* for larger budgets.

    What --out writes is what `plan --fit` reads; with --law auto it is the average of laws that `predict` uses.
    """
    from fitting.fit import fit_law
    from fitting.lint import refuse_unidentifiable
    from fitting.planner.fitted import plannable
    from fitting.planner.sources import own_runs_of
    from fitting.planner.stored import stored
    from fitting.record import fit_record
    from fitting.show import fit_tables

    if bad := [value for value in flops or () if not 0 < value <= LARGEST_FLOPS]:
        raise InputError(f"--flops is {bad[0]:g}; allowed is 0 < FLOPs <= {LARGEST_FLOPS:g}. Give it as 1e22")
    columns = Columns(n_column, d_column, loss_column, flops_column, cluster_column)
    if law == "auto":
        if objective != "huber":
            raise InputError("--objective with --law auto: the average has its own. Give one law, or leave it out")
        _fit_average(points, columns, where, flops, out, force, as_json)
        return
    measured = read_points(points, columns, where, law_named(law).inputs)
    if law_named(law).surface and not force:
        refuse_unidentifiable(measured)
    fitted = fit_law(measured, law, delta_of(objective), resamples)
    record = fit_record(fitted)
    if out is not None:
        ready = plannable(fitted, own_runs_of(points, where, measured.n_definition))
        _write(out, json.dumps(record | ({"planner": stored(ready)} if ready else {})) + "\n")
    if as_json:
        typer.echo(json.dumps(record, indent=2))
    else:
        fit_tables(fitted, flops)


@app.command()
def predict(
    points: PointsOption,
    targets: Annotated[str, typer.Option(help="CSV or Parquet with N and D of the runs to predict")],
    out: Annotated[Path, typer.Option(help="CSV to write: the loss of each target with its interval, row by row")],
    law: Annotated[str, typer.Option(help="auto (an average of laws), or one law")] = "auto",
    where: WhereOption = None,
    n_column: NColumn = None,
    d_column: DColumn = "d_tokens",
    loss_column: LossColumn = "loss",
    flops_column: FlopsColumn = None,
    cluster_column: ClusterColumn = None,
    resamples: ResamplesOption = 4000,
    as_json: JsonOption = False,
) -> None:
    """Predict the loss of runs that were not trained, each with a 90% interval (and with --law auto a 50% one)."""
    from fitting.show import average_csv, prediction_csv

    columns = Columns(n_column, d_column, loss_column, flops_column, cluster_column)
    inputs = () if law == "auto" else law_named(law).inputs
    measured = read_points(points, columns, where, inputs)
    n_params, d_tokens, extra = read_targets(targets, columns, inputs, measured.n_definition)
    if law == "auto":
        from fitting.ensemble import forecast

        average = forecast(measured, n_params, d_tokens)
        text, sentence = average_csv(average, n_params, d_tokens), average.sentence
    else:
        from fitting.fit import fit_law
        from fitting.predict import predict as predict_runs

        fitted = fit_law(measured, law, resamples=resamples)
        text = prediction_csv(predict_runs(fitted, n_params, d_tokens, extra=extra))
        sentence = f"{fitted.law.equation}; {fitted.status.value}: {fitted.sentence}"
    _write(out, text)
    if as_json:
        typer.echo(json.dumps({"targets": len(n_params), "law": law, "sentence": sentence, "out": str(out)}))
    else:
        typer.echo(
            f"{len(n_params)} predictions with 90% intervals written to {out} (from {len(measured)} points; {sentence})"
        )


@app.command()
def backtest(
    paths: Annotated[list[str], typer.Argument(help="pools: one CSV, Parquet file or store each")],
    pool_column: Annotated[str | None, typer.Option(help="splits each file into one pool a value")] = None,
    where: WhereOption = None,
    n_column: NColumn = None,
    d_column: DColumn = "d_tokens",
    loss_column: LossColumn = "loss",
    flops_column: FlopsColumn = None,
    as_json: JsonOption = False,
) -> None:
    """Replay past sweeps: fit below, predict the largest runs; errors, coverage and widths by span."""
    from rich.console import Console

    from fitting.backtest import replay
    from fitting.forecasters import FORECASTERS
    from fitting.show import backtest_json, backtest_tables

    pools = {}
    for path in paths:
        columns = Columns(n_column, d_column, loss_column, flops_column, pool_column)
        points = read_points([path], columns, where)
        labels = sorted(set(points.cluster)) if pool_column else [""]
        for label in labels:
            keep = np.asarray([not pool_column or name == label for name in points.cluster])
            pools[f"{Path(path).stem} {label}".strip()] = dataclasses.replace(
                points.take(keep), cluster=tuple(map(str, range(int(keep.sum()))))
            )
    console = Console(stderr=True)
    with console.status("backtest") as status:
        cells = replay(pools, FORECASTERS, report=lambda words: status.update(f"backtest: {words}"))
    if not cells:
        raise InputError(
            "no cell to replay: a pool needs 12 runs with 3 sizes and 3 horizons at a third of its largest compute or "
            "below. Give larger pools"
        )
    if as_json:
        typer.echo(json.dumps(backtest_json(cells), indent=2))
    else:
        backtest_tables(cells)


app.command()(lint)
app.command()(isoflop)
app.command()(envelope)
app.command()(plan)
app.command("next")(next_runs)
app.command("profile")(profile_constants)
app.command("drift")(drift_constants)
app.command("compare")(compare_sweeps)


def _fit_average(
    points: list[str],
    columns: Columns,
    where: str | None,
    flops: list[float] | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """--law auto: several laws, averaged as `predict` averages them."""
    from rich.console import Console

    from fitting.lint import refuse_unidentifiable
    from fitting.planner.fitted import belief_from_average
    from fitting.planner.show import average_tables
    from fitting.planner.sources import own_runs_of
    from fitting.planner.stored import StoredLaw, stored

    measured = read_points(points, columns, where)
    own = own_runs_of(points, where, measured.n_definition)
    if not force:
        refuse_unidentifiable(measured)
    with Console(stderr=True).status("laws") as status:
        belief = belief_from_average(measured, own.bytes_per_token, lambda words: status.update(f"laws: {words}"))
    record = {"law": "auto", "planner": stored(StoredLaw(belief, own))}
    if out is not None:
        _write(out, json.dumps(record) + "\n")
    if as_json:
        typer.echo(json.dumps(record, indent=2))
    else:
        average_tables(belief, flops)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise InputError(f"--out {path}: {error.strerror}; give a file in a folder that can be written") from None


def main() -> None:
    use_compile_cache()
    run_command(app)


if __name__ == "__main__":
    main()
