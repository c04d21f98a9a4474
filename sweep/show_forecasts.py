"""What a sweep prints of its forecasts: as they are sealed, and beside the truth."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from fitting.show import si
from results.outcome import Outcome
from results.record import RunRecord
from results.sealed import Forecast
from sweep.config import AVERAGE

SHOWN = 40  # rows; of more, those of the average alone
FEW = 3  # forecasts of one target that are sentences, not a table


def print_sealed(console: Console, forecasts: Sequence[Forecast]) -> None:
    """A sentence each where there are few of one target; else a table."""
    if len({one.run_id for one in forecasts}) == 1 and len(forecasts) <= FEW:
        for place, one in enumerate(forecasts):
            if place == 0:
                what = "forecast for the target sealed before training"
                told = f"; {one.sentence}" if one.law == AVERAGE else f"; the {one.law} law"
            else:
                what, told = f"beside it, the {one.law} law alone", ""
            console.print(
                f"{what}: {one.loss:.4f} nats/token ({one.level:.0%} interval {one.low:.4f} .. {one.high:.4f}), "
                f"{one.span:.3g}x the dearest fitted run{told}",
                highlight=False,
            )
        return
    if not forecasts:
        return
    table = Table(title="Forecasts sealed before the targets are trained")
    for header in ("target", "law", "runs", "span", "nats/token", "90% interval"):
        table.add_column(header, justify="left" if header in ("target", "law") else "right")
    shown = _shown(forecasts)
    for one in shown:
        table.add_row(_target(one), one.law, str(one.points), f"{one.span:.3g}x", f"{one.loss:.4f}", _interval(one))
    console.print(table)
    console.print("span: the target's compute over that of the dearest run behind the forecast", highlight=False)
    if len(shown) < len(forecasts):
        console.print(
            f"{len(forecasts)} forecasts in all: those of {_other_laws(forecasts)} are in the store too",
            highlight=False,
        )


def print_held(console: Console, forecasts: Sequence[Forecast], targets: Sequence[RunRecord]) -> None:
    """Every forecast beside what its target reached, or how that stands."""
    if not targets:
        return
    sealed = {one.run_id for one in forecasts}
    for record in targets:
        if record.run_id not in sealed:
            reached = f"{record.status}: {record.sentence}" if record.loss is None else f"reached {record.loss:.4f}"
            console.print(
                f"target {record.run_id[:8]}: no forecast was sealed; {reached}", highlight=False, markup=False
            )
    if not forecasts:
        return
    by_id = {record.run_id: record for record in targets}
    shown = _shown(forecasts)
    outcomes = [Outcome(one, by_id.get(one.run_id)) for one in forecasts]
    table = Table(title="Sealed forecasts against the truth")
    for header in ("target", "law", "span", "sealed forecast", "90% interval", "reached", "error", "90%"):
        table.add_column(header, justify="left" if header in ("target", "law", "90%") else "right")
    for one in (Outcome(forecast, by_id.get(forecast.run_id)) for forecast in shown):
        f = one.forecast
        truth = str(one.record.status) if one.truth is None and one.record else f"{one.truth:.4f}"
        error = "" if one.error is None else f"{one.error:+.2%}"
        table.add_row(_target(f), f.law, f"{f.span:.3g}x", f"{f.loss:.4f}", _interval(f), truth, error, one.verdict)
    console.print(table)
    told = [one for one in outcomes if one.inside is not None and one.sealed_before is not False]
    half = [one for one in told if one.inside50 is not None]
    if told:
        counted = f"{sum(bool(one.inside) for one in told)} of {len(told)} inside their 90% interval"
        if half:
            counted += f", {sum(bool(one.inside50) for one in half)} of {len(half)} inside their 50% interval"
        laws = f"; not shown: {_other_laws(forecasts)}" if len(shown) < len(forecasts) else ""
        console.print(f"forecasts: {counted}{laws}", highlight=False)


def _shown(forecasts: Sequence[Forecast]) -> list[Forecast]:
    """By target, law and span; of too many, those of the average (of the first law, where there is none of it)."""
    order = list(dict.fromkeys(one.run_id for one in forecasts))
    ordered = sorted(forecasts, key=lambda one: (order.index(one.run_id), one.law != AVERAGE, one.law, one.span))
    if len(ordered) <= SHOWN:
        return ordered
    return [one for one in ordered if one.law == ordered[0].law]


def _other_laws(forecasts: Sequence[Forecast]) -> str:
    shown = {one.law for one in _shown(forecasts)}
    return ", ".join(sorted({one.law for one in forecasts} - shown))


def _target(one: Forecast) -> str:
    known = one.n_params is not None and one.d_tokens is not None
    return f"N {si(one.n_params)} D {si(one.d_tokens)}" if known else one.run_id[:8]


def _interval(one: Forecast) -> str:
    return f"{one.low:.4f} .. {one.high:.4f}"
