"""python -m fitting: fit a law to points, and predict runs from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fitting.errors import InputError
from fitting.laws import law_named
from fitting.read import Columns, read_points, read_targets

app = typer.Typer(no_args_is_help=True, add_completion=True, help=__doc__, pretty_exceptions_enable=False)

PointsOption = Annotated[
    list[str], typer.Option("--points", help="CSV or Parquet file, folder of a store, or glob; may be given again")
]
WhereOption = Annotated[str | None, typer.Option(help="keep the rows for which this holds, e.g. 'flops < 1e21'")]
LawOption = Annotated[str, typer.Option(help="which law")]
ResamplesOption = Annotated[int, typer.Option(min=100, max=100_000, help="bootstrap resamples")]
JsonOption = Annotated[bool, typer.Option("--json", help="print the record as JSON")]
NColumn = Annotated[str, typer.Option(help="column of N, parameters")]
DColumn = Annotated[str, typer.Option(help="column of D, training tokens")]
LossColumn = Annotated[str, typer.Option(help="column of the loss, nats per token")]
FlopsColumn = Annotated[str | None, typer.Option(help="column of C, training FLOPs [default: flops, else 6ND]")]
ClusterColumn = Annotated[str | None, typer.Option(help="rows with the same value here are resampled together")]


@app.command()
def fit(
    points: PointsOption,
    law: LawOption = "chinchilla",
    where: WhereOption = None,
    n_column: NColumn = "n_params",
    d_column: DColumn = "d_tokens",
    loss_column: LossColumn = "loss",
    flops_column: FlopsColumn = None,
    cluster_column: ClusterColumn = None,
    resamples: ResamplesOption = 4000,
    flops: Annotated[list[float] | None, typer.Option(help="compute budget for N*, D*, L*; may be given again")] = None,
    out: Annotated[Path | None, typer.Option(help="write the JSON record of the fit here")] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a law: constants with 90% intervals, the proof of convergence, and N*, D*, L* for larger budgets."""
    from fitting.fit import fit_law
    from fitting.record import fit_record
    from fitting.show import fit_tables

    columns = Columns(n_column, d_column, loss_column, flops_column, cluster_column)
    fitted = fit_law(read_points(points, columns, where, law_named(law).inputs), law, resamples=resamples)
    record = fit_record(fitted)
    if out is not None:
        _write(out, json.dumps(record, indent=2) + "\n")
    if as_json:
        typer.echo(json.dumps(record, indent=2))
    else:
        fit_tables(fitted, flops)


@app.command()
def predict(
    points: PointsOption,
    targets: Annotated[str, typer.Option(help="CSV or Parquet with N and D of the runs to predict")],
    out: Annotated[Path, typer.Option(help="CSV to write: the loss of each target with its 90% interval, row by row")],
    law: LawOption = "chinchilla",
    where: WhereOption = None,
    n_column: NColumn = "n_params",
    d_column: DColumn = "d_tokens",
    loss_column: LossColumn = "loss",
    flops_column: FlopsColumn = None,
    cluster_column: ClusterColumn = None,
    resamples: ResamplesOption = 4000,
    as_json: JsonOption = False,
) -> None:
    """Predict the loss of runs that were not trained, each with a 90% interval."""
    from fitting.fit import fit_law
    from fitting.predict import predict as predict_runs
    from fitting.show import prediction_csv

    columns = Columns(n_column, d_column, loss_column, flops_column, cluster_column)
    inputs = law_named(law).inputs
    n_params, d_tokens, extra = read_targets(targets, columns, inputs)
    fitted = fit_law(read_points(points, columns, where, inputs), law, resamples=resamples)
    predicted = predict_runs(fitted, n_params, d_tokens, extra=extra)
    _write(out, prediction_csv(predicted))
    summary = {
        "targets": len(n_params),
        "law": fitted.law.name,
        "status": fitted.status.value,
        "sentence": fitted.sentence,
        "out": str(out),
    }
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        typer.echo(
            f"{len(n_params)} predictions with 90% intervals written to {out} "
            f"({fitted.law.equation}, {len(fitted.points)} points; {fitted.status.value}: {fitted.sentence})"
        )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise InputError(f"--out {path}: {error.strerror}; give a file in a folder that can be written") from None


def main() -> None:
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
