"""python -m results: list the runs of a store, look at them in a browser, and keep the store small and clean."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fitting.errors import InputError, run_command
from results.record import SETTLED, RunStatus

if TYPE_CHECKING:
    from results.record import RunRecord
    from results.store import Damaged, Store

app = typer.Typer(no_args_is_help=True, add_completion=True, help=__doc__, pretty_exceptions_enable=False)

StoreOption = Annotated[str, typer.Option(help="folder of the store, or its URL")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
DEFAULT = "store"
SHOWN = 50  # runs that `ls` prints unless told otherwise


@app.command(name="ls")
def list_runs(
    store: StoreOption = DEFAULT,
    status: Annotated[RunStatus | None, typer.Option(help="only runs with this status")] = None,
    limit: Annotated[int, typer.Option(min=1, help="the newest so many")] = SHOWN,
    everything: Annotated[bool, typer.Option("--all", help="all runs, however many")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print every column of every run as JSON")] = False,
) -> None:
    """List the newest runs: size, data, cost, loss, speed, and how each one stands."""
    from results.handed_over import handed_over, handed_over_sentence
    from results.listing import plain
    from results.store import Store

    opened = Store(store)
    records, damaged = opened.records()
    wanted = [record for record in records if status is None or record.status == status]
    if as_json:
        _print_json(store, wanted, damaged)
        return
    shown = wanted if everything else wanted[-limit:]
    if shown:
        from results.show import print_runs

        print_runs(shown)
    else:
        typer.echo(_nothing(opened, len(records), status))
    if len(shown) < len(wanted):
        typer.echo(
            f"the newest {len(shown):,} of {len(wanted):,} runs; --all or --limit N shows more, --json all of each"
        )
    for file in damaged:
        typer.echo(plain(f"left out, cannot be read: {file.path}: {file.reason}"))
    settled = {record.run_id for record in records if record.status in SETTLED}
    if sentence := handed_over_sentence(handed_over(opened), settled):
        typer.echo(plain(sentence))


@app.command()
def report(
    store: StoreOption = DEFAULT,
    out: Annotated[Path, typer.Option(help="HTML file to write")] = Path("report.html"),
) -> None:
    """Write one self-contained HTML file: what was run, the law, forecast against truth, figures and proof."""
    from results.report import write_report

    path = write_report(_existing(store), out)
    typer.echo(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB, opens offline in any browser)")


@app.command()
def dashboard(
    store: StoreOption = DEFAULT,
    host: Annotated[
        str, typer.Option(help="address to serve at; any but this machine's own needs --token")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: any that is free [default: the first free from 8050 on]")
    ] = None,
    token: Annotated[str | None, typer.Option(help="that visitors have to give", envvar="ISOFLOP_TOKEN")] = None,
    browser: Annotated[bool, typer.Option("--open", help="open it in the browser of this machine")] = False,
) -> None:
    """Serve the live dashboard of a store: it follows sweeps while they run, and reads the store only."""
    from results.dashboard.serve import serve

    serve(store, host, port, token, browser)


@app.command()
def export(
    store: StoreOption = DEFAULT,
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
    store: StoreOption = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="print every figure of every evaluation as JSON")] = False,
) -> None:
    """Losses by domain and position, and task scores of a run, at its last evaluation."""
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
    elif not measured:
        typer.echo(f"run {found[0]} was not evaluated yet")
    else:
        from results.show import print_measurements

        print_measurements(found[0], max(one.step for one in measured), measured)


@app.command()
def compact(store: StoreOption = DEFAULT, as_json: AsJson = False) -> None:
    """Put the settled runs of a store into few files, so that it is read fast. Sweeps may go on meanwhile."""
    from results.compact import compact
    from results.listing import plain

    done = compact(_existing(store))
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(done)))
        return
    files = done.run_files + done.curve_files + done.evaluation_files
    typer.echo(
        f"{store}: {done.runs:,} settled runs are in one file. {files:,} files went into fewer: {done.run_files:,} of "
        f"runs, {done.curve_files:,} of curves, {done.evaluation_files:,} of evaluations. {done.unsettled:,} runs that "
        f"are not settled keep their own"
    )
    for file in done.damaged:
        typer.echo(plain(f"left where it is, cannot be read: {file.path}: {file.reason}"))


@app.command()
def gc(
    store: StoreOption = DEFAULT,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="the final ones of done runs too")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would go, remove nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what nobody needs any more, after asking: leftovers of kills, folders without a run, old checkpoints."""
    from results.garbage import find_garbage, remove
    from results.show import by_reason, bytes_text, print_garbage

    opened = _existing(store)
    found = find_garbage(opened, checkpoints)
    if as_json:
        named = [{"why": one.why, "path": one.where, "bytes": one.size} for one in found]
        typer.echo(json.dumps({"store": store, "garbage": named, "removed": yes and not dry_run}, indent=2))
    elif found:
        print_garbage(found)
    else:
        typer.echo(f"{store}: nothing to remove")
    if not found or dry_run or (as_json and not yes):
        return
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("nobody can be asked without a terminal; --yes removes this, --dry-run only shows it")
        if not typer.confirm(f"Remove these {len(found):,} from {store}?"):
            typer.echo("nothing was removed")
            return
    gone = remove(opened, found, checkpoints)
    if not as_json:
        count = sum(number for _, number, _ in by_reason(gone))
        typer.echo(f"removed {count:,} of {len(found):,}, {bytes_text(sum(one.size for one in gone))}")


def _existing(name: str) -> Store:
    from results.store import Store

    store = Store(name)
    if not store.exists:
        raise InputError(f"no store at {name}; name another with --store")
    return store


def _print_json(store: str, records: Sequence[RunRecord], damaged: Sequence[Damaged]) -> None:
    """A run a line: indenting every column of 10,000 runs takes seconds."""
    from results.listing import run_json

    runs = ",\n".join(json.dumps(run_json(record)) for record in records)
    files = json.dumps([{"path": file.path, "reason": file.reason} for file in damaged])
    typer.echo(f'{{"store": {json.dumps(store)},\n"runs": [\n{runs}\n],\n"damaged": {files}}}')


def _nothing(store: Store, runs: int, status: RunStatus | None) -> str:
    train = "python -m sweep -m experiment=quickstart"
    if not store.exists:
        return f"no store at {store.name}; name another with --store, or train runs: {train}"
    if status is not None and runs:
        return f"none of the {runs} runs in {store.name} has status {status}"
    return f"the store {store.name} holds no runs that can be read; train some: {train}"


def main() -> None:
    run_command(app)


if __name__ == "__main__":
    main()
