"""python -m results: list the runs of a store, and write a report on them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fitting.errors import InputError, run_command
from results.record import RunRecord, RunStatus

app = typer.Typer(no_args_is_help=True, add_completion=True, help=__doc__, pretty_exceptions_enable=False)

StoreOption = Annotated[Path, typer.Option(help="folder of the store")]
PIPE_WIDTH = 160  # columns where no terminal says how wide it is
WIDTH_WITH_SENTENCES = 120  # columns


@app.command(name="ls")
def list_runs(
    store: StoreOption = Path("store"),
    status: Annotated[RunStatus | None, typer.Option(help="only runs with this status")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print every column of every run as JSON")] = False,
) -> None:
    """List the runs: size, data, cost, loss, speed, and how each one stands."""
    from results.listing import plain, run_json
    from results.store import Store

    records, damaged = Store(store).records()
    shown = [record for record in records if status is None or record.status == status]
    if as_json:
        files = [{"path": str(file.path), "reason": file.reason} for file in damaged]
        typer.echo(json.dumps({"store": str(store), "runs": [run_json(r) for r in shown], "damaged": files}, indent=2))
        return
    if shown:
        _print_table(shown)
    else:
        typer.echo(_nothing(store, len(records), status))
    for file in damaged:
        typer.echo(plain(f"left out, cannot be read: {file.path}: {file.reason}"))


@app.command()
def report(
    store: StoreOption = Path("store"),
    out: Annotated[Path, typer.Option(help="HTML file to write")] = Path("report.html"),
) -> None:
    """Write one self-contained HTML file: what was run, the law, forecast against truth, figures and proof."""
    from results.report import write_report
    from results.store import Store

    path = write_report(Store(store), out)
    typer.echo(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB, opens offline in any browser)")


@app.command()
def export(
    store: StoreOption = Path("store"),
    out: Annotated[Path, typer.Option(help=".csv or .parquet file to write")] = Path("runs.csv"),
) -> None:
    """Write one wide table: every column of every run, and one for each figure of its last evaluation."""
    from results.export import write_export
    from results.store import Store

    count = write_export(Store(store), out)
    typer.echo(f"{out}: {count} runs")


@app.command()
def evaluation(
    run: Annotated[str, typer.Argument(help="run, or the beginning of its name")],
    store: StoreOption = Path("store"),
    as_json: Annotated[bool, typer.Option("--json", help="print every figure of every evaluation as JSON")] = False,
) -> None:
    """Losses by domain and position, and task scores of a run, at its last evaluation."""
    from results.listing import plain
    from results.store import Store

    opened = Store(store)
    found = [record.run_id for record in opened.records()[0] if record.run_id.startswith(run)]
    if len(found) != 1:
        raise InputError(
            f"{store} has {len(found)} runs whose name begins with {run!r}; python -m results ls names them"
        )
    measured = opened.measurements(found[0])
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(one) for one in measured], indent=2))
        return
    last = max((one.step for one in measured), default=0)
    if not measured:
        typer.echo(f"run {found[0]} was not evaluated yet")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("kind", "name", "metric", "value", "± se", "of", title=f"Run {found[0][:8]} at step {last:,}")
    for one in measured:
        if one.step == last:
            error = "" if one.standard_error is None else f"{one.standard_error:.4f}"
            cells = (one.kind, plain(one.name), one.metric, f"{one.value:.4f}", error, f"{one.count:,}")
            table.add_row(*map(Text, cells))
    Console(width=None if Console().is_terminal else PIPE_WIDTH).print(table)


def _print_table(records: Sequence[RunRecord]) -> None:
    """Where the sentences find no room beside the numbers, those of unfinished runs stand below."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from results.listing import HEADERS, run_row

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    wide = console.width >= WIDTH_WITH_SENTENCES
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0))
    for header in HEADERS:
        left = header in ("run", "status")
        table.add_column(header, justify="left" if left else "right", no_wrap=header != "status")
    if wide:
        table.add_column("sentence", overflow="fold")
    below = []
    for record in records:
        row = run_row(record)
        cells = (*row.cells, row.sentence) if wide else row.cells
        table.add_row(*(Text(cell) for cell in cells))  # Text: a name in a store is no markup
        if not wide and record.status != RunStatus.DONE:
            below.append(Text(f"{row.cells[0]} {row.status}: {row.sentence}"))
    console.print(table)
    if below:
        console.print(*below, sep="\n")
    console.print("N: non-embedding parameters, D: training tokens, FLOPs: exact, loss: nats/token", style="dim")


def _nothing(store: Path, runs: int, status: RunStatus | None) -> str:
    if not store.is_dir():
        return (
            f"no store at {store}; name another with --store, or train runs: python -m sweep -m experiment=quickstart"
        )
    if status is not None and runs:
        return f"none of the {runs} runs in {store} has status {status}"
    return f"the store {store} holds no runs that can be read; train some: python -m sweep -m experiment=quickstart"


def main() -> None:
    run_command(app)


if __name__ == "__main__":
    main()
