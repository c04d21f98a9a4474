"""python -m models: what can be built near N parameters, and what does a token cost?"""

from __future__ import annotations

import json
import math
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from models.architecture import Architecture
from models.errors import ArchitectureError
from models.shapes import architecture_counting

HEADERS = {"training_flops_per_token": "FLOPs/token", "non_embedding": "non-emb.", "mlp_width": "MLP"}
PLAIN_WIDTH = 110  # characters, where there is no terminal whose width counts

app = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)

VocabOption = Annotated[int, typer.Option(min=2, help="vocabulary, rows of the embedding")]
ContextOption = Annotated[int, typer.Option(min=1, help="tokens in a sequence")]
CountOption = Annotated[str, typer.Option("--count", help="what N counts: non_embedding, total or flops")]
MlpOption = Annotated[str, typer.Option(help="squared_relu, gelu or swiglu (gated)")]
QueriesOption = Annotated[int, typer.Option(min=1, help="query heads that share a key head")]
TiedOption = Annotated[bool, typer.Option("--tied", help="the head is the embedding")]
ExpertsOption = Annotated[int, typer.Option(min=1, help="experts per block; 1 is dense")]
ActiveOption = Annotated[int, typer.Option(min=1, help="experts that a token meets")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command()
def show(
    n: Annotated[float, typer.Argument(help="parameters, such as 1e6")],
    vocab: VocabOption = 1024,
    context: ContextOption = 64,
    count: CountOption = "non_embedding",
    mlp: MlpOption = "squared_relu",
    queries_per_key: QueriesOption = 1,
    tied: TiedOption = False,
    experts: ExpertsOption = 1,
    experts_per_token: ActiveOption = 1,
    as_json: JsonOption = False,
) -> None:
    """The decoder nearest N."""
    choices = _choices(mlp, queries_per_key, tied, experts, experts_per_token)
    _print([n], vocab, context, count, choices, as_json)


@app.command()
def table(
    smallest: Annotated[float, typer.Argument(help="N to start from")],
    largest: Annotated[float, typer.Argument(help="N to end with")],
    rows: Annotated[int, typer.Option(min=2, max=100, help="sizes, evenly spaced in ln N")] = 9,
    vocab: VocabOption = 1024,
    context: ContextOption = 64,
    count: CountOption = "non_embedding",
    mlp: MlpOption = "squared_relu",
    queries_per_key: QueriesOption = 1,
    tied: TiedOption = False,
    experts: ExpertsOption = 1,
    experts_per_token: ActiveOption = 1,
    as_json: JsonOption = False,
) -> None:
    """A ladder of decoders."""
    if not 0 < smallest <= largest < math.inf:
        raise ArchitectureError(f"table {smallest:g} {largest:g}: give 0 < smallest <= largest")
    ratio = math.log(largest / smallest) / (rows - 1)
    sizes = [smallest * math.exp(i * ratio) for i in range(rows)]
    _print(sizes, vocab, context, count, _choices(mlp, queries_per_key, tied, experts, experts_per_token), as_json)


def _choices(mlp: str, queries_per_key: int, tied: bool, experts: int, experts_per_token: int) -> dict[str, Any]:
    return {
        "mlp": mlp,
        "queries_per_key": queries_per_key,
        "tied": tied,
        "experts": experts,
        "experts_per_token": experts_per_token,
    }


def _print(sizes: list[float], vocab: int, context: int, count: str, choices: dict[str, Any], as_json: bool) -> None:
    built = [architecture_counting(n, vocab, count, context, **choices) for n in sizes]
    if as_json:
        typer.echo(json.dumps([_row(n, a, context) for n, a in zip(sizes, built, strict=True)], indent=2))
        return
    view = Table(title=f"Decoders, vocabulary {vocab}, context {context} tokens; N counts {count}")
    names = list(_row(sizes[0], built[0], context))
    for name in names:
        view.add_column(HEADERS.get(name, name.replace("_", " ")), justify="right")
    for n, architecture in zip(sizes, built, strict=True):
        view.add_row(*(f"{value:.4g}" for value in _row(n, architecture, context).values()))
    console = Console()
    (console if console.is_terminal else Console(width=PLAIN_WIDTH)).print(view)


def _row(n: float, architecture: Architecture, context: int) -> dict[str, float]:
    count = architecture.count(context)
    return {
        "asked": n,
        "non_embedding": count.non_embedding,
        "active": count.active,
        "total": count.total,
        "by_flops": count.flops,
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
