"""How a fit and its predictions are printed: N*, D*, L* first, then the constants, then the proof."""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from fitting.allocate import Allocation, allocate, has_closed_form
from fitting.backtest import SPANS, Cell, score
from fitting.ensemble import Average
from fitting.fit import Fit
from fitting.objective import objective_form, objective_value
from fitting.predict import LEVEL, Prediction
from fitting.record import fit_record

PLAIN_WIDTH = 140  # characters, where there is no terminal whose width counts


def wide_enough(console: Console | None = None) -> Console:
    """A console whose tables keep their columns where there is no terminal."""
    console = console or Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH, file=console.file)


def fit_tables(fit: Fit, flops: list[float] | None, console: Console | None = None) -> None:
    console = console or Console()
    budgets = np.asarray(flops or [10 * fit.points.flops_6nd.max(), 100 * fit.points.flops_6nd.max()])
    console.print(f"[bold]{fit.law.equation}[/bold]  {len(fit.points)} points, N = {fit.points.n_definition}")
    for sentence in fit.points.excluded:
        console.print(f"left out: {sentence}")
    console.print(f"status: [bold]{fit.status.value}[/bold]: {fit.sentence}")
    if has_closed_form(fit):
        console.print(best_runs(fit, budgets))
    else:
        console.print(f"N*, D*: no closed form for the {fit.law.name} law; fit chinchilla or gamma for them")
    console.print(constants_table(fit))
    console.print(
        f"objective {objective_value(fit.residuals, fit.delta):.13g} ({objective_form(fit.delta)}); gradient "
        f"{fit.proof.gradient_norm:.1e}; {fit.proof.best_basin_share:.0%} of {fit.proof.starts} starts agree; "
        f"warm restart gains {fit.proof.restart_gain:.1e}; bootstrap of {fit.resampled}, {len(fit.draws)} resamples"
    )
    console.print(f"singular values {' '.join(f'{value:.3g}' for value in fit.proof.singular_values)}")
    console.print(f"noise of one run: {fit.noise_sentence}")
    console.print(held_out_sentence(fit))


def constants_table(fit: Fit) -> Table:
    table = Table("constant", "value", f"{LEVEL:.0%} interval", "standard error", title="Constants")
    for name, entry in fit_record(fit)["constants"].items():
        # An interval without width is not precision: every resample ended on the same bound.
        width = entry["high"] > entry["low"]
        interval = f"{entry['low']:.5g} .. {entry['high']:.5g}" if width else "none: on its bound"
        error = entry["standard_error"]  # a few wild resamples own it where the constant is poorly determined
        shown = f"{error:.4g}" if error < 10 * abs(entry["value"]) else "no meaning"
        table.add_row(name, f"{entry['value']:.7g}", interval, shown)
    return table


def held_out_sentence(fit: Fit) -> str:
    if fit.held_out is None:
        return "held out by compute: too few points to hold any out"
    return (
        f"held out by compute: the {fit.held_out.points} largest runs ({fit.held_out.span:.3g}x) are missed by a "
        f"median {fit.held_out.median_error:.2%}, at most {fit.held_out.largest_error:.2%}"
    )


def best_runs(fit: Fit, flops: np.ndarray) -> Table | str:
    """N*, D*, L* at these budgets, or why there are none."""
    allocation = allocate(fit, flops)
    if allocation is None:
        return "N*, D*: not identified: one of the law's power terms vanished, and its optimum runs off with it"
    return allocation_table(allocation)


def allocation_table(allocation: Allocation) -> Table:
    table = Table("C (FLOPs)", "N*", "D*", "D*/N*", "loss (nats/token)", title="Compute-optimal runs (C = 6ND)")
    for i, flops in enumerate(allocation.flops):
        n, d, loss = allocation.n_params, allocation.d_tokens, allocation.loss
        table.add_row(
            f"{flops:.3g}",
            f"{si(n.value[i])} ({si(n.low[i])} .. {si(n.high[i])})",
            f"{si(d.value[i])} ({si(d.low[i])} .. {si(d.high[i])})",
            f"{d.value[i] / n.value[i]:.3g}",
            f"{loss.value[i]:.4f} ({loss.low[i]:.4f} .. {loss.high[i]:.4f})",
        )
    return table


def si(value: float) -> str:
    """1234567 -> '1.23M': three digits with the suffix that the field writes counts with."""
    rounded = float(f"{value:.3g}")  # first, so that 999,936 is 1M and not 1000k
    for limit, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if limit <= abs(rounded) < 1e15:
            return f"{rounded / limit:.3g}{suffix}"
    return f"{rounded:.3g}"


def prediction_csv(prediction: Prediction) -> str:
    """Row by row: n_params, d_tokens, loss, loss_lo90, loss_hi90 (repr floats: nothing lost)."""
    percent = f"{prediction.level * 100:g}"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["n_params", "d_tokens", "loss", f"loss_lo{percent}", f"loss_hi{percent}"])
    for row in zip(
        prediction.n_params, prediction.d_tokens, prediction.loss, prediction.low, prediction.high, strict=True
    ):
        writer.writerow([repr(float(value)) for value in row])
    return text.getvalue()


def average_csv(average: Average, n_params: np.ndarray, d_tokens: np.ndarray) -> str:
    """Row by row: n_params, d_tokens, loss, loss_lo90, loss_hi90, loss_lo50, loss_hi50."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["n_params", "d_tokens", "loss", "loss_lo90", "loss_hi90", "loss_lo50", "loss_hi50"])
    for row in zip(n_params, d_tokens, average.loss, *average.band(0.9), *average.band(0.5), strict=True):
        writer.writerow([repr(float(value)) for value in row])
    return text.getvalue()


def plain(value: Any) -> Any:
    """As JSON has it: arrays as lists, what is not a finite number as null."""
    if isinstance(value, np.ndarray):
        return [plain(one) for one in value.tolist()]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def backtest_tables(cells: list[Cell], console: Console | None = None) -> None:
    console = wide_enough(console)
    table = Table(title="Forecasts of the largest runs, by span (target compute / largest fitted compute)")
    for header in ("span", "forecaster", "cells", "median error", "90th pct", "worst", "in 50%", "in 90%"):
        table.add_column(header, justify="left" if header == "forecaster" else "right")
    for header in ("half-width 90%", "interval score"):
        table.add_column(header, justify="right")
    names = list(dict.fromkeys(cell.forecaster for cell in cells))
    for span in (*SPANS, 0.0):
        for name in names:
            found = score(cells, name, span)
            if found is not None:
                table.add_row(
                    f"{span:g}x" if span else "all",
                    name,
                    str(found.cells),
                    f"{found.median_error:.2%}",
                    f"{found.p90_error:.2%}",
                    f"{found.worst_error:.2%}",
                    f"{found.coverage50:.0%}",
                    f"{found.coverage90:.0%}",
                    f"{found.half_width90:.2%}",
                    f"{found.interval_score90:.3f}",
                )
        table.add_section()
    console.print(table)


def backtest_json(cells: list[Cell]) -> dict:
    names = list(dict.fromkeys(cell.forecaster for cell in cells))
    scores = [score(cells, name, span) for span in (*SPANS, 0.0) for name in names]
    rows = [
        {"pool": c.pool, "span": c.span, "forecaster": c.forecaster, "training": c.training, "targets": c.targets}
        | {"error": c.error, "inside90": float(c.inside90.mean()), "inside50": float(c.inside50.mean())}
        for c in cells
    ]
    return {"scores": [dataclasses.asdict(found) for found in scores if found is not None], "cells": rows}
