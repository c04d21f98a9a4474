"""What does the store hold right now? One immutable look at it for all callbacks, and what was reckoned from it."""

from __future__ import annotations

import functools
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from results.outcome import Outcome
from results.planned import SweepPlan, sweep_plans
from results.record import RunRecord, RunStatus
from results.store import Damaged, Store

FRESH_SECONDS = 1.0  # a look that is younger serves again: many callbacks ask at once
KEPT = 200  # reckoned results; the oldest goes first
FOLLOWED = 64  # running runs whose curves are watched

Result = TypeVar("Result")


@dataclass(frozen=True)
class Moment:
    """One look at a store."""

    store: Store
    records: tuple[RunRecord, ...]  # oldest first
    damaged: tuple[Damaged, ...]
    outcomes: tuple[Outcome, ...]  # of all sealed forecasts, oldest first
    plans: tuple[SweepPlan, ...]
    version: str  # changes with every record, forecast and plan
    curves_version: str  # changes when a running run has written more of its curve

    @functools.cached_property
    def by_id(self) -> Mapping[str, RunRecord]:
        return {record.run_id: record for record in self.records}

    @property
    def grid(self) -> tuple[RunRecord, ...]:
        return tuple(record for record in self.records if record.role != "target")


class Live:
    """The store as it changes. Safe to ask from many threads."""

    def __init__(self, store: Store):
        self.store = store
        self._lock = threading.Lock()
        self._moment: Moment | None = None
        self._looked = 0.0
        self._known: OrderedDict[Hashable, Any] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._heavy = threading.Lock()

    def moment(self) -> Moment:
        with self._lock:
            if self._moment is None or time.monotonic() - self._looked > FRESH_SECONDS:
                self._moment = self._look()
                self._looked = time.monotonic()
            return self._moment

    def once(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """What `make` gave for this key, now or before; two that ask at once wait for one. Errors are not kept."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._known:
                    return self._known[key]
            result = make()
            with self._lock:
                self._known[key] = result
                self._making.pop(key, None)
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            return result

    def reckon(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """As `once`, for seconds of work: one at a time, so that the server still answers meanwhile."""

        def alone() -> Result:
            with self._heavy:
                return make()

        return self.once(key, alone)

    def curve(self, record: RunRecord) -> Mapping[str, np.ndarray]:
        """The whole curve of a run; while it runs, as far as it is written."""
        state = self._parts(record.run_id) if record.status == RunStatus.RUNNING else None
        key = ("curve", record.run_id, record.status, record.attempt, state)
        return self.once(key, lambda: self.store.curve(record.run_id))

    def curves(self, records: Sequence[RunRecord]) -> dict[str, Mapping[str, np.ndarray]]:
        return {record.run_id: self.curve(record) for record in records}

    def _look(self) -> Moment:
        records, damaged = self.store.records()
        forecasts, damaged_forecasts = self.store.forecasts()
        by_id = {record.run_id: record for record in records}
        plans = tuple(sweep_plans(self.store))
        told = [(r.run_id, r.status, r.attempt, r.loss, r.last_step, r.finished_at) for r in records]
        sealed = [(f.run_id, f.law, f.points_sha256) for f in forecasts]
        running = [record.run_id for record in records if record.status == RunStatus.RUNNING][-FOLLOWED:]
        started = [(plan.sweep, plan.started_at) for plan in plans]
        return Moment(
            store=self.store,
            records=tuple(records),
            damaged=(*damaged, *damaged_forecasts),
            outcomes=tuple(Outcome(forecast, by_id.get(forecast.run_id)) for forecast in forecasts),
            plans=plans,
            version=_digest(told, sealed, started, len(damaged), len(damaged_forecasts)),
            curves_version=_digest([(run_id, self._parts(run_id)) for run_id in running]),
        )

    def _parts(self, run_id: str) -> int:
        """How many files its curve has; each appears whole and none changes."""
        return len(self.store.files.entries(f"curves/{run_id}"))


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:16]
