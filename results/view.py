"""What does a report (or a dashboard) look at? Records, curves, the law and the forecasts, read once from a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fitting.errors import InputError
from fitting.fit import Fit
from results.context import ContextUse, context_use
from results.outcome import Outcome
from results.points import fit_records, shortfall
from results.record import RunRecord
from results.store import Damaged, Store

Curve = Mapping[str, np.ndarray]  # columns of results.store.CURVE_SCHEMA


@dataclass(frozen=True)
class View:
    """One moment of a store."""

    store: str  # its folder or URL
    exists: bool
    records: tuple[RunRecord, ...]  # oldest first
    curves: Mapping[str, Curve]  # by run_id; runs without one are absent
    fit: Fit | None
    no_fit: str | None  # why there is no law; None where there is one
    outcomes: tuple[Outcome, ...]
    damaged: tuple[Damaged, ...]
    unknown: tuple[str, ...] = ()  # run_ids that were asked for and are not there
    context: tuple[ContextUse, ...] = ()  # of the runs that were evaluated by position

    @property
    def grid(self) -> tuple[RunRecord, ...]:
        return tuple(record for record in self.records if record.role != "target")

    @property
    def targets(self) -> tuple[RunRecord, ...]:
        return tuple(record for record in self.records if record.role == "target")


def read_view(store: Store, run_ids: Sequence[str] | None = None) -> View:
    """Reads and fits; run_ids None means all runs."""
    records, damaged = store.records()
    forecasts, damaged_forecasts = store.forecasts()
    unknown: tuple[str, ...] = ()
    if run_ids is not None:
        asked = set(run_ids)
        records = [record for record in records if record.run_id in asked]
        forecasts = [forecast for forecast in forecasts if forecast.run_id in asked]
        unknown = tuple(sorted(asked - {record.run_id for record in records}))
    curves = {record.run_id: store.curve(record.run_id) for record in records}
    by_id = {record.run_id: record for record in records}
    fit, no_fit = _fit(records, store.name)
    return View(
        store=store.name,
        exists=store.exists,
        records=tuple(records),
        curves={run_id: curve for run_id, curve in curves.items() if len(curve["tokens"])},
        fit=fit,
        no_fit=no_fit,
        outcomes=tuple(Outcome(forecast, by_id.get(forecast.run_id)) for forecast in forecasts),
        damaged=(*damaged, *damaged_forecasts),
        unknown=unknown,
        context=tuple(context_use(records, store.all_measurements())),
    )


def dearest_6nd(fit: Fit) -> float:
    """6ND of the largest fitted run."""
    return float(fit.points.flops_6nd.max())


def _fit(records: Sequence[RunRecord], source: str) -> tuple[Fit | None, str | None]:
    try:
        fit = fit_records(records, source)
    except InputError as error:
        return None, str(error)
    return fit, (None if fit is not None else shortfall(records))
