"""python -m models: what can be built near N parameters, and what does a token cost?"""

from __future__ import annotations

import json
import math
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.architecture import Architecture
from models.errors import ArchitectureError
from models.shapes import architecture_near

app = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)

VocabOption = Annotated[int, typer.Option(min=2, help="vocabulary, rows of the embedding")]
ContextOption = Annotated[int, typer.Option(min=1, help="tokens in a sequence")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command()
def show(
    n: Annotated[float, typer.Argument(help="non-embedding parameters, such as 1e6")],
    vocab: VocabOption = 1024,
    context: ContextOption = 64,
    as_json: JsonOption = False,
) -> None:
    """The decoder nearest N."""
    _print([n], vocab, context, as_json)


@app.command()
def table(
    smallest: Annotated[float, typer.Argument(help="N to start from")],
    largest: Annotated[float, typer.Argument(help="N to end with")],
    rows: Annotated[int, typer.Option(min=2, max=100, help="sizes, evenly spaced in ln N")] = 9,
    vocab: VocabOption = 1024,
    context: ContextOption = 64,
    as_json: JsonOption = False,
) -> None:
    """A ladder of decoders."""
    if not 0 < smallest <= largest:
        raise ArchitectureError(f"table {smallest:g} {largest:g}: give 0 < smallest <= largest")
    ratio = math.log(largest / smallest) / (rows - 1)
    _print([smallest * math.exp(i * ratio) for i in range(rows)], vocab, context, as_json)


def _print(sizes: list[float], vocab: int, context: int, as_json: bool) -> None:
    built = [architecture_near(round(n) if math.isfinite(n) else 0, vocab) for n in sizes]
    if as_json:
        typer.echo(json.dumps([_row(n, a, context) for n, a in zip(sizes, built, strict=True)], indent=2))
        return
    view = Table(title=f"Decoders, vocabulary {vocab}, context {context} tokens")
    names = list(_row(sizes[0], built[0], context))
    for name in names:
        view.add_column(name.replace("_", " "), justify="right")
    for n, architecture in zip(sizes, built, strict=True):
        view.add_row(*(f"{value:.4g}" for value in _row(n, architecture, context).values()))
    Console().print(view)


def _row(n: float, architecture: Architecture, context: int) -> dict[str, float]:
    count = architecture.count(context)
    return {
        "asked": n,
        "non_embedding": count.non_embedding,
        "total": count.total,
        "depth": architecture.depth,
        "width": architecture.width,
        "heads": architecture.heads,
        "mlp_width": architecture.mlp_width,
        "training_flops_per_token": architecture.flops_per_token(context),
    }


def main() -> None:
    try:
        app()
    except ArchitectureError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
