"""python -m sweep.tasks: put questions to finished runs; the scores join their other measurements in the store."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Annotated

import typer

from fitting.cache import use_compile_cache
from fitting.errors import InputError, run_command
from results.record import RunStatus
from results.store import DEFAULT_STORE, Store

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)


@app.command()
def score(
    runs: Annotated[
        list[str] | None, typer.Argument(help="runs, or the beginnings of their names; default: all")
    ] = None,
    tasks: Annotated[list[str] | None, typer.Option(help="bundled, one of its tasks, or a JSONL file")] = None,
    questions: Annotated[int, typer.Option(help="of each bundled task")] = 100,
    corpus: Annotated[str | None, typer.Option(help="prepared corpus whose held-out text makes questions")] = None,
    store: Annotated[str, typer.Option(help="folder of the store")] = DEFAULT_STORE,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Accuracy, probability and bits per byte of the right answer, from each run's last checkpoint."""
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from sweep.data.corpus import Corpus
    from sweep.evaluation import score_run
    from sweep.trained import load_run

    use_compile_cache()
    opened = Store(store)
    names = runs or [record.run_id for record in opened.records()[0] if record.status == RunStatus.DONE]
    if not names:
        raise InputError(f"store {store} holds no finished run; train some: python -m sweep -m experiment=quickstart")
    texts = Corpus.open(Path(corpus)) if corpus else None
    table = Table("run", "task", "of", "chance", "accuracy", "normalised", "gold bits/byte", title="Tasks")
    rows = []
    for number, name in enumerate(names, 1):
        model = load_run(opened, name)
        print(f"run {model.record.run_id[:8]} ({number} of {len(names)})", file=sys.stderr)
        measured = score_run(opened, model, tuple(tasks or ("bundled",)), questions, texts)
        rows += [{"run_id": model.record.run_id, **dataclasses.asdict(one)} for one in measured]
        values = {(one.name, one.metric): one for one in measured}
        for task in dict.fromkeys(one.name for one in measured):
            shown = [values[task, metric] for metric in ("chance", "accuracy", "accuracy_normalised", "gold_bpb")]
            cells = [
                f"{one.value:.3f}" + ("" if one.standard_error is None else f" ±{one.standard_error:.3f}")
                for one in shown
            ]
            table.add_row(*map(Text, (model.record.run_id[:8], task, str(shown[0].count), *cells)))
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        console = Console()
        (console if console.is_terminal else Console(width=120)).print(table)


def main() -> None:
    run_command(app)


if __name__ == "__main__":
    main()
