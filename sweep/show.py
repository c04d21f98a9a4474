"""What a sweep prints: the runs before they are trained, and what came out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

from fitting.fit import Fit
from fitting.lint import Severity, lint_design
from fitting.show import best_runs, constants_table, held_out_sentence, si
from results.record import CHECK, SETTLED, RunRecord, RunStatus
from results.store import Forecast
from sweep.show_forecasts import print_held
from sweep.spec import RunSpec

Row = TypeVar("Row")
SHOWN = 40  # rows of a table of runs; of more, the first and the last


def print_plan(
    console: Console,
    specs: Sequence[RunSpec],
    targets: Sequence[RunSpec],
    held: Mapping[str, RunRecord],
    seconds: Sequence[float],
    slots: int,
    price: float | None = None,
) -> None:
    """price: dollars an hour of one of the slots; None shows none."""
    table = Table(title="Runs")
    for header in ("run", "N", "shape", "D (tokens)", "FLOPs", "est. s", *(["est. $"] if price else []), "store"):
        table.add_column(header, justify="left" if header in ("run", "store") else "right")
    everything, held_out = [*specs, *targets], {target.run_id for target in targets}
    all_ = list(zip(everything, seconds, strict=True))
    left = [(spec, estimate) for spec, estimate in all_ if _status(held, spec) not in SETTLED]
    for row in _ends(all_):
        if row is None:
            table.add_row(*_more(len(all_), len(table.columns)))
            continue
        spec, estimate = row
        count, a = spec.architecture.count(spec.data.sequence), spec.architecture
        table.add_row(
            "target" if spec.run_id in held_out else spec.run_id[:8],
            si(count.non_embedding),
            f"{a.width}x{a.depth}",
            si(spec.d_tokens),
            f"{spec.flops:.2e}",
            f"{estimate:.0f}",
            *([f"{estimate / 3600 * price:.2g}"] if price else []),
            _status(held, spec),
        )
    console.print(table)
    if left:
        total = 0.0
        for last in (False, True):  # the targets after all others
            phase = [estimate for spec, estimate in left if (spec.run_id in held_out) is last]
            total += sum(phase) / max(1, min(slots, len(phase)))
        flops = sum(spec.flops for spec, _ in left)
        busy = sum(estimate for _, estimate in left)
        dollars = f", about ${busy / 3600 * price:.3g} at ${price:g} an hour and worker" if price else ""
        console.print(
            f"{len(left)} of {len(everything)} runs to train, {flops:.2e} FLOPs, about {_duration(total)} with "
            f"{min(slots, len(left))} at once{dollars} (N: non-embedding parameters)"
        )
    else:
        console.print(f"all {len(everything)} runs are in the store: nothing to train")


def _status(held: Mapping[str, RunRecord], spec: RunSpec) -> str:
    record = held.get(spec.run_id)
    return record.status if record else "new"


def _ends(rows: Sequence[Row]) -> list[Row | None]:
    """The first and the last, and None in the place of those between; all where they are few."""
    half = SHOWN // 2
    return list(rows) if len(rows) <= SHOWN else [*rows[:half], None, *rows[-half:]]


def _more(rows: int, columns: int) -> list[str]:
    """The row in the place of those that are not shown."""
    return [f"… {rows - 2 * (SHOWN // 2):,} more", *[""] * (columns - 1)]


_LINT = {Severity.REFUSED: "no law can be fitted to these runs", Severity.WARNING: "design"}


def print_lint(console: Console, specs: Sequence[RunSpec]) -> None:
    """Can these runs identify a law? Said before they are paid for; one run, or runs of one size, ask for none."""
    n = np.asarray([float(spec.architecture.count(context=1).non_embedding) for spec in specs])
    d = np.asarray([float(spec.d_tokens) for spec in specs])
    if len(set(n)) < 2:
        return
    for finding in lint_design(n, d):
        console.print(f"{_LINT[finding.severity]}: {finding.sentence}. To do: {finding.remedy}", markup=False)


def print_outcome(
    console: Console,
    grid: Sequence[RunRecord],
    targets: Sequence[RunRecord],
    fit: Fit | None,
    sealed: Sequence[Forecast],
    wall: float,
    trained: int,
) -> None:
    console.print(_runs_table([*grid, *targets], fit))
    lost = (RunStatus.DIVERGED, RunStatus.FAILED, RunStatus.INTERRUPTED)
    unfinished = [record for record in [*grid, *targets] if record.status in lost]
    for record in _ends(unfinished):
        said = record and f"{record.run_id[:8]} {record.status}, left out of fits: {record.sentence}"
        console.print(said or _more(len(unfinished), 1)[0], markup=False)
    if fit is None:
        console.print("no law: a fit needs 8 finished runs with 3 values of N and 3 of D")
    else:
        console.print(f"\n[bold]{fit.law.equation}[/bold]  status: {fit.status.value}: {fit.sentence}", highlight=False)
        if fit.chosen:
            console.print(fit.chosen, highlight=False)
        console.print(constants_table(fit))
        console.print(f"{held_out_sentence(fit)}; noise of one run {fit.noise:.2%}", highlight=False)
    print_held(console, sealed, targets)
    if fit is not None:
        largest = fit.points.flops_6nd.max()
        console.print(best_runs(fit, np.asarray([10 * largest, 100 * largest])))
    console.print(_speed_sentence([*grid, *targets], wall, trained), highlight=False)


def _runs_table(records: Sequence[RunRecord], fit: Fit | None) -> Table:
    table = Table(title="Results")
    for header in ("run", "N", "D", "FLOPs", "nats/token", "bits/byte", "fit error", "tokens/s", "status"):
        table.add_column(header, justify="left" if header in ("run", "status") else "right")
    for record in _ends(records):
        if record is None:
            table.add_row(*_more(len(records), len(table.columns)))
            continue
        error = ""
        if fit is not None and record.loss is not None:
            predicted = _law_loss(fit, record)
            error = f"{predicted / record.loss - 1:+.2%}"
        table.add_row(
            "target" if record.role == "target" else record.run_id[:8],
            si(record.n_params_non_embedding),
            si(record.d_tokens),
            f"{record.flops:.2e}",
            "" if record.loss is None else f"{record.loss:.4f} ±{record.loss_se or 0:.3f}",
            "" if record.bpb is None else f"{record.bpb:.4f}",
            error,
            "" if record.tokens_per_second is None else f"{record.tokens_per_second:,.0f}",
            f"{record.status}, {CHECK}" if record.role == CHECK else str(record.status),
        )
    return table


def _law_loss(fit: Fit, record: RunRecord) -> float:
    from fitting.solve import evaluate

    columns = {"n_params": record.n_params_non_embedding, "d_tokens": record.d_tokens, "flops": record.flops}
    x = fit.inputs({name: np.asarray([value]) for name, value in columns.items()})
    return float(np.exp(evaluate(fit.law, fit.theta[None], x)[0, 0]))


def _speed_sentence(records: Sequence[RunRecord], wall: float, trained: int) -> str:
    timed = [record for record in records if record.flops_per_second and record.tokens_per_second]
    if not timed:
        return f"{wall:.0f} s"
    rates = sorted(record.flops_per_second / 1e9 for record in timed if record.flops_per_second)
    busy = sum(record.seconds or 0.0 for record in timed)
    tokens = sum((record.tokens_per_second or 0.0) * (record.seconds or 0.0) for record in timed)
    flops = sum((record.flops_per_second or 0.0) * (record.seconds or 0.0) for record in timed)
    spent, alone = sum(record.flops_spent or record.flops for record in records), sum(r.flops for r in records)
    shared = f"; shared trunks saved {1 - spent / alone:.0%} of {alone / 1e12:.1f} TFLOP" if spent < alone else ""
    judged = sum(record.eval_flops or 0.0 for record in records) / spent
    shared += f"; evaluation cost {judged:.1%} of training"
    ending = f"; this command: {wall:.0f} s, {trained} runs trained"
    return (
        f"{len(timed)} runs: {si(tokens)} tokens and {flops / 1e12:.1f} TFLOP in {busy:.0f} s of training: "
        f"{tokens / busy:,.0f} tokens/s and {flops / busy / 1e9:.1f} GFLOP/s a worker "
        f"({rates[0]:.1f} to {rates[-1]:.1f} by run){shared}{ending}"
    )


def _duration(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.1f} minutes"
