"""Options that several commands share: which points, which columns, how the answer is printed."""

from __future__ import annotations

from typing import Annotated

import typer

from fitting.laws import law_names

PointsOption = Annotated[
    list[str], typer.Option("--points", help="CSV or Parquet file, folder of a store, or glob; may be given again")
]
WhereOption = Annotated[str | None, typer.Option(help="keep the rows for which this holds, e.g. 'flops < 1e21'")]
LawOption = Annotated[str, typer.Option(help=f"which law: {', '.join(law_names())}")]
ResamplesOption = Annotated[int, typer.Option(min=100, max=100_000, help="bootstrap resamples")]
ObjectiveOption = Annotated[
    str, typer.Option(help="huber (width 0.001 on ln L), huber:WIDTH, mse (least squares) or lad (absolute deviations)")
]
LevelOption = Annotated[float, typer.Option(help="level of the intervals")]
JsonOption = Annotated[bool, typer.Option("--json", help="print the record as JSON")]
NColumn = Annotated[
    str | None,
    typer.Option(
        help="column of N, parameters [default: n_params; of a store n_params_non_embedding, as model.n counts]"
    ),
]
DColumn = Annotated[str, typer.Option(help="column of D, training tokens")]
LossColumn = Annotated[str, typer.Option(help="column of the loss, nats per token")]
FlopsColumn = Annotated[str | None, typer.Option(help="column of C, training FLOPs [default: flops, else 6ND]")]
ClusterColumn = Annotated[str | None, typer.Option(help="rows with the same value here are resampled together")]
