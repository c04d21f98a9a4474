"""python -m fitting plan: from a law and a budget to N, D, loss, chips, days and dollars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fitting.errors import InputError
from fitting.options import (
    ClusterColumn,
    DColumn,
    JsonOption,
    LossColumn,
    NColumn,
    WhereOption,
)
from fitting.planner.numbers import number

ASSUMED_CHIP = "h100"  # where the budget is FLOPs or a loss and no chip was said
COUNTS = ("6nd", "exact")

Number = float | None
BUDGET, RUN, HARDWARE, CHOICES, LAW = "Budget or target", "Run", "Hardware and money", "Choices", "Law"


def numeric(words: str, panel: str) -> Any:
    """An option that reads numbers as people type them."""
    return typer.Option(parser=number, metavar="NUMBER", help=words, rich_help_panel=panel)


def plan(
    fit: Annotated[Path | None, typer.Option(help="law that fit --out wrote", rich_help_panel=LAW)] = None,
    points: Annotated[
        list[str] | None,
        typer.Option("--points", help="fit these runs: CSV, Parquet, folder of a store, or glob", rich_help_panel=LAW),
    ] = None,
    law_constants: Annotated[
        str | None,
        typer.Option(help="hoffmann-tex, hoffmann-rounded, besiroglu or muennighoff", rich_help_panel=LAW),
    ] = None,
    law: Annotated[
        str, typer.Option(help="of --points: auto (an average of laws) or one law", rich_help_panel=LAW)
    ] = "auto",
    flops: Annotated[Number, numeric("training FLOPs", BUDGET)] = None,
    chip_hours: Annotated[Number, numeric("hours of one chip", BUDGET)] = None,
    dollars: Annotated[Number, numeric("for the training", BUDGET)] = None,
    days: Annotated[Number, numeric("wall clock", BUDGET)] = None,
    chips: Annotated[Number, numeric("how many", BUDGET)] = None,
    loss: Annotated[Number, numeric("target, nats per token", BUDGET)] = None,
    n: Annotated[Number, numeric("parameters, as the law counts them", RUN)] = None,
    d: Annotated[Number, numeric("training tokens", RUN)] = None,
    chip: Annotated[str | None, typer.Option(help="a100-80gb, h100, tpu-v5p, …", rich_help_panel=HARDWARE)] = None,
    chips_file: Annotated[
        Path | None, typer.Option(help="YAML with chips of your own", rich_help_panel=HARDWARE)
    ] = None,
    mfu: Annotated[Number, numeric("part of the dense bf16 peak, 0..1 [default: a range]", HARDWARE)] = None,
    price: Annotated[Number, numeric("dollars per chip-hour [default: a range]", HARDWARE)] = None,
    serve_tokens: Annotated[Number, numeric("tokens to serve in its life", CHOICES)] = None,
    serve_mfu: Annotated[Number, numeric("MFU of serving [default: as training]", CHOICES)] = None,
    serve_price: Annotated[Number, numeric("dollars per chip-hour of serving", CHOICES)] = None,
    unique_tokens: Annotated[Number, numeric("tokens of text there are", CHOICES)] = None,
    change: Annotated[
        tuple[float, float] | None,
        typer.Option(help="losses before and after a change, such as 2.10 2.05", rich_help_panel=CHOICES),
    ] = None,
    text_bytes: Annotated[Number, numeric("raw bytes of the training text", CHOICES)] = None,
    bytes_per_token: Annotated[Number, numeric("raw bytes of a token", CHOICES)] = None,
    context: Annotated[int | None, typer.Option(help="tokens in a sequence", rich_help_panel=RUN)] = None,
    vocab: Annotated[int | None, typer.Option(help="entries of the vocabulary", rich_help_panel=RUN)] = None,
    count: Annotated[
        str, typer.Option(help="how a budget is spent: 6nd, or exact (attention, head)", rich_help_panel=RUN)
    ] = "6nd",
    where: WhereOption = None,
    n_column: NColumn = None,
    d_column: DColumn = "d_tokens",
    loss_column: LossColumn = "loss",
    cluster_column: ClusterColumn = None,
    force: Annotated[
        bool, typer.Option("--force", help="fit runs that cannot identify a law all the same", rich_help_panel=LAW)
    ] = False,
    out: Annotated[Path | None, typer.Option(help="write a page with figures here (.html)")] = None,
    as_json: JsonOption = False,
) -> None:
    """What to buy: N, D, loss, chips, days, dollars, each with a 90% interval; and what else could be bought."""
    from rich.console import Console

    from fitting.chips import chip_named, read_chips
    from fitting.planner.make import make_plan
    from fitting.planner.record import plan_record
    from fitting.planner.request import Request
    from fitting.planner.show import plan_tables
    from fitting.planner.sources import LawSource, law_of
    from fitting.read import Columns

    request = Request(
        flops=flops,
        chip_hours=chip_hours,
        dollars=dollars,
        days=days,
        chips=whole("--chips", chips),
        loss=loss,
        n_params=n,
        d_tokens=d,
        serve_tokens=serve_tokens,
        unique_tokens=unique_tokens,
        mfu=mfu,
        price=price,
        serve_mfu=serve_mfu,
        serve_price=serve_price,
        text_bytes=text_bytes,
        bytes_per_token=bytes_per_token,
        change=change,
        context=context,
        vocab=vocab,
        chip=chip,
    )
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out is {str(out)!r}; the page is HTML: name it plan.html")
    if chip is None and request.budget in ("dollars", "chip_hours", "days"):
        raise InputError("hours and dollars need --chip, such as --chip h100 or --chip a100-80gb")
    chosen = chip_named(chip or ASSUMED_CHIP, read_chips(chips_file) if chips_file else ())
    columns = Columns(n_column, d_column, loss_column, None, cluster_column)
    source = LawSource(fit, law_constants, tuple(points or ()), law, where, columns, force)
    with Console(stderr=True).status("law") as status:
        found = law_of(source, report=lambda words: status.update(f"law: {words}"))
    made = make_plan(request, found.belief, chosen, found.own, _cost(count, request, found))
    if out is not None:
        _write_page(out, made)
    if as_json:
        typer.echo(json.dumps(plan_record(made), indent=2, allow_nan=False))
    else:
        plan_tables(made)
        if out is not None:
            typer.echo(f"figures: {out}")


def whole(option: str, value: float | None) -> int | None:
    """6e3 is a whole number; 0.5 chips are none."""
    if value is None:
        return None
    if not float(value).is_integer():
        raise InputError(f"{option} is {value:g}; allowed are whole numbers")
    return int(value)


def _cost(count, request, found):
    """6N, or the exact count of the family that is installed."""
    from fitting.planner.shape import DEFAULT_CONTEXT, DEFAULT_VOCAB, counted_cost
    from fitting.planner.token_cost import SixN

    count = count.lower()
    if count not in COUNTS:
        raise InputError(f"--count is {count!r}; allowed are {', '.join(COUNTS)}")
    if count == "6nd":
        return SixN()
    vocab = request.vocab or found.own.vocab_size or DEFAULT_VOCAB
    context = request.context or found.own.sequence or DEFAULT_CONTEXT
    cost = counted_cost(found.belief.provenance.n_definition, vocab, context)
    if cost is None:
        raise InputError("--count exact asks the model family for its shapes, and none is installed; use --count 6nd")
    return cost


def _write_page(out: Path, made) -> None:
    from fitting.planner.shape import lent

    page = lent("page")
    if page is None:
        raise InputError("--out draws with the results room, which is not installed; use --json")
    try:
        out.write_text(page(made))
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}; give a file in a folder that can be written") from None
