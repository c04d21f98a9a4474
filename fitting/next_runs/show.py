"""How the chosen runs are printed: what they change first, then each run, then the lines to paste."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from fitting.next_runs.acquire import Role
from fitting.next_runs.answer import Band, Chosen, NextRuns
from fitting.planner.belief import LEVEL
from fitting.show import PLAIN_WIDTH, si

SWEEP_COUNT = "n_params_non_embedding"  # what model.n counts


def next_tables(answer: NextRuns, console: Console | None = None) -> None:
    console = console or Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    console.print(
        f"target: {answer.target_flops:.3g} FLOPs, N* = {si(answer.target_n)}, D* = {si(answer.target_d)}; "
        f"{answer.sentence}"
    )
    console.print(f"now:      {_band(answer.before)}")
    console.print(f"expected: {_band(answer.after)} after {len(answer.runs)} runs for {answer.cost:.3g} FLOPs")
    console.print(f"[bold]{answer.verdict.sentence}[/bold]")
    for caveat in answer.caveats:
        console.print(f"note: {caveat}")
    table = Table(title=f"Runs to buy, of {answer.candidates} candidates")
    for header in ("run", "N", "D", "D/N", "C (FLOPs)", "of the budget"):
        table.add_column(header, justify="right")
    table.add_column("what for")
    for row, run in enumerate(answer.runs, start=1):
        share = f"{run.flops / answer.budget:.2%}"
        ratio = f"{run.d_tokens / run.n_params:.3g}"
        cost = f"{run.flops:.3g}"
        table.add_row(str(row), si(run.n_params), si(run.d_tokens), ratio, cost, share, _what_for(run))
    console.print(table)
    if answer.n_definition != SWEEP_COUNT:
        console.print(
            f"note: model.n counts non-embedding parameters, these points {answer.n_definition}: see python -m models "
            f"--count"
        )
    if answer.runs:
        console.print(
            "note: these lines say N and D alone; add what your sweep had besides, as data=…, data.path=… and store=…"
        )
    for line in sweep_lines(answer.runs):
        print(line, file=console.file)  # as it is: a wrapped line cannot be pasted


def sweep_lines(runs: Sequence[Chosen]) -> list[str]:
    """Ready to paste. A grid is a product, so sizes share a line only where they share all horizons."""
    horizons: dict[float, set[float]] = {}
    for run in runs:
        horizons.setdefault(run.n_params, set()).add(run.d_tokens)
    grids: dict[tuple[float, ...], list[float]] = {}
    for n_params in sorted(horizons):
        grids.setdefault(tuple(sorted(horizons[n_params])), []).append(n_params)
    return [
        f"python -m sweep -m model.n={','.join(map(_number, sizes))} data.tokens={','.join(map(_number, tokens))}"
        for tokens, sizes in grids.items()
    ]


def next_json(answer: NextRuns) -> dict[str, Any]:
    """Everything; FLOPs, parameters, tokens and nats per token."""
    verdict = answer.verdict
    return {
        "target": {"flops": answer.target_flops, "n_params": answer.target_n, "d_tokens": answer.target_d},
        "budget": answer.budget,
        "cost": answer.cost,
        "candidates": answer.candidates,
        "runs": [
            {"n_params": run.n_params, "d_tokens": run.d_tokens, "flops": run.flops}
            | {"role": run.role.value, "purpose": run.purpose}
            for run in answer.runs
        ],
        "interval": {
            "level": LEVEL,
            "before": dataclasses.asdict(answer.before),
            "after": dataclasses.asdict(answer.after),
        },
        "verdict": {
            "stop": verdict.stop,
            "sentence": verdict.sentence,
            "price_before": verdict.price_before,
            "price_after": verdict.price_after,
            "saving": verdict.saving,
        },
        "laws": answer.sentence,
        "caveats": list(answer.caveats),
        "n_definition": answer.n_definition,
        "sweep": sweep_lines(answer.runs),
    }


def next_csv(runs: Sequence[Chosen]) -> str:
    """Row by row: n_params, d_tokens, flops (repr floats: nothing lost)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["n_params", "d_tokens", "flops"])
    writer.writerows([repr(run.n_params), repr(run.d_tokens), repr(run.flops)] for run in runs)
    return text.getvalue()


def _band(band: Band) -> str:
    return f"loss {band.loss:.4f}, {LEVEL:.0%} interval {band.low:.4f} .. {band.high:.4f} (+-{band.width:.2%})"


def _what_for(run: Chosen) -> str:
    return f"{run.role.value}: {run.purpose}" if run.role is Role.ANCHOR else run.purpose


def _number(value: float) -> str:
    """As Hydra reads it back: whole, 12 digits at most."""
    return f"{round(value):.12g}"
