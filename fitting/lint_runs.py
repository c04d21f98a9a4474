"""What is wrong with these finished runs? Copies, checkpoints taken as final, rates at the edge, few that decide.

Each finding is one sentence with what to do. Whether N and D identify a law at all is asked in fitting/lint.py.
"""

from __future__ import annotations

import numpy as np

from fitting.errors import InputError
from fitting.fit import fit_law
from fitting.influence import Influence, influences
from fitting.lint import Finding, Severity
from fitting.points import Points
from fitting.replicates import SEED
from fitting.show import si
from fitting.table import Table

RATES = ("learning_rate", "lr", "peak_lr", "max_lr")  # names of the peak rate's column, ours first
PORTIONS = ("portion_steps", "fraction_of_run", "progress")  # of a run that a row has seen, 1 at its end
STEPS = (("last_step", "steps"), ("current_steps", "total_steps"))  # seen, of so many
RUNS = ("run_id", "run", "run_name")
BEYOND = 10.0  # times the largest compute: the budget whose least loss is asked for
RESAMPLES = 400
NAMED = 5  # rows of a finding


def lint_runs(points: Points, table: Table, tried: Table) -> list[Finding]:
    """Findings on measured points: `table` has all their columns, `tried` those of runs that check the recipe too.

    N, D and the loss have their standard names there.
    """
    return [*_copies(points, table), *_checkpoints(table), *_edges(tried), *_beaten(table)]


def lint_influence(points: Points, law: str, flops: float | None) -> list[Finding]:
    """Which runs decide what the law says of a compute budget, and whether more than its interval admits."""
    target = flops or BEYOND * float(points.flops_6nd.max())
    try:
        found = influences(fit_law(points, law, resamples=RESAMPLES), target)
    except InputError as error:
        return [Finding(Severity.NOTE, "no law", f"which runs decide is not known ({error})", "see there")]
    return [_influence(one, points) for one in found]


def _influence(one: Influence, points: Points) -> Finding:
    runs = f"{one.runs} run{'s' * (one.runs > 1)}"
    shown = "; ".join(_named(points, row) for row in one.rows[:NAMED])
    more = f"; {len(one.rows) - NAMED} more rows" * (len(one.rows) > NAMED)
    return Finding(
        severity=Severity.WARNING if one.decides else Severity.NOTE,
        name=f"influence of {runs}",
        sentence=f"leaving out {runs} moves {one.quantity} from {one.value:.4g} to {one.without:.4g}, "
        f"{'more' if one.decides else 'less'} than a standard error (90% interval {one.low:.4g} .. {one.high:.4g}): "
        f"{shown}{more}",
        remedy="find out whether they were trained and measured as the others, and report the law without them too"
        if one.decides
        else "nothing",
    )


def _named(points: Points, row: int) -> str:
    label = f"{points.cluster[row]}, " if len(set(points.cluster)) < len(points) else ""
    return f"{label}N = {si(points.n_params[row])}, D = {si(points.d_tokens[row])}, loss {points.loss[row]:.4g}"


def _copies(points: Points, table: Table) -> list[Finding]:
    seeds = _floats(table, SEED)
    rows = np.stack([points.n_params, points.d_tokens, points.loss, *([] if seeds is None else [seeds])])
    copies = np.setdiff1d(np.arange(len(points)), np.unique(rows, axis=1, return_index=True)[1])
    if not copies.size:
        return []
    return [
        Finding(
            Severity.WARNING,
            "copies",
            f"{copies.size} of {len(points)} rows have the N, D and loss of another ({_named(points, copies[0])}): a "
            f"run that counts twice makes every interval too narrow",
            "leave the copies out",
        )
    ]


def _checkpoints(table: Table) -> list[Finding]:
    partial, how = _partial(table)
    if not partial.any():
        return []
    return [
        Finding(
            Severity.WARNING,
            "checkpoints",
            f"{int(partial.sum())} of {len(partial)} rows are from within a run ({how}): before its learning rate has "
            f"fallen a run's loss is too high for its D",
            "keep the rows at the end of a run, or fit a law of whole curves (tissue, multipower)",
        )
    ]


def _partial(table: Table) -> tuple[np.ndarray, str]:
    """Rows that are not the end of their run, and what says so."""
    for name in PORTIONS:
        seen = _floats(table, name)
        if seen is not None and (seen < 1).any():
            return seen < 1, f"{name} is below 1"
    for name, end in STEPS:
        seen, whole = _floats(table, name), _floats(table, end)
        if seen is not None and whole is not None and (seen < whole).any():
            return seen < whole, f"{name} is below {end}"
    name = next((name for name in RUNS if name in table), None)
    if name is None:
        return np.zeros(len(table["loss"]), bool), ""
    _, run = np.unique([str(value) for value in table[name]], return_inverse=True)
    longest = np.zeros(int(run.max()) + 1)
    np.maximum.at(longest, run, table["d_tokens"])
    return table["d_tokens"] < longest[run] * (1 - 1e-9), f"{name} comes again with a longer D"


def _edges(tried: Table) -> list[Finding]:
    """(N, D) of several rates whose best is the largest or the smallest of them."""
    name, cells = _rates(tried)
    several = {cell: rows for cell, rows in cells.items() if len({rate for _, rate in rows}) > 1}
    ends = []
    for (n, d), rows in several.items():
        rates, best = [rate for _, rate in rows], min(rows)[1]
        if best in (min(rates), max(rates)):
            ends.append((n, d, best, best == max(rates)))
    if not ends:
        return []
    n, d, best, largest = ends[0]
    return [
        Finding(
            Severity.WARNING,
            "rate at the edge",
            f"at {len(ends)} of {len(several)} (N, D) with several learning rates the best is the largest or the "
            f"smallest (N = {si(n)}, D = {si(d)}: {best:.3g}, the {'largest' if largest else 'smallest'}): a better "
            f"one may lie beyond, and the loss is too high",
            f"add rates beyond (there {name} = {2 * best if largest else best / 2:.3g}) until both sides are worse",
        )
    ]


def _beaten(table: Table) -> list[Finding]:
    """Rows whose (N, D) has a better learning rate."""
    name, cells = _rates(table)
    beaten = sum(rate != min(rows)[1] for rows in cells.values() for _, rate in rows)
    if not beaten:
        return []
    return [
        Finding(
            Severity.WARNING,
            "rates not reduced",
            f"{beaten} of {len(table['loss'])} rows are beaten by another {name} at the same (N, D): a law of all "
            f"rows is no law of the best recipe",
            "keep the best rate of each (N, D), and fit both to see what it changes",
        )
    ]


def _rates(table: Table) -> tuple[str, dict[tuple[float, float], list[tuple[float, float]]]]:
    """The rate's column, and (loss, rate) of the runs of each (N, D); none where the table has no rates."""
    name = next((name for name in RATES if name in table), "")
    rates = _floats(table, name)
    cells: dict[tuple[float, float], list[tuple[float, float]]] = {}
    if rates is not None:
        for n, d, loss, rate in zip(table["n_params"], table["d_tokens"], table["loss"], rates, strict=True):
            if np.isfinite(loss) and np.isfinite(rate):
                cells.setdefault((float(n), float(d)), []).append((float(loss), float(rate)))
    return name, cells


def _floats(table: Table, name: str) -> np.ndarray | None:
    try:
        return np.asarray(table[name], np.float64) if name in table else None
    except (TypeError, ValueError):
        return None
