"""What will the targets reach? Every law, from every set of runs that it may see, sealed before any is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fitting.choose import choose_law
from fitting.ensemble import forecast
from fitting.errors import InputError
from fitting.fit import Fit, fit_law
from fitting.points import Points
from fitting.predict import LEVEL, predict
from fitting.show import si
from results.points import fit_records, record_points, shortfall, shortfall_of
from results.record import RunRecord
from results.sealed import Forecast
from results.store import Store
from sweep.config import AVERAGE, ForecastSettings
from sweep.spec import RunSpec

# Many laws from many sets: of 1,000 draws, an edge of the 90% interval has a standard error of 4% of its half width,
# and the search for the optimum takes longer than the draws.
RESAMPLES = 1000
HALF = 0.5  # the inner interval's level
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sealed:
    """What came of sealing."""

    forecasts: tuple[Forecast, ...]  # that count
    left_out: tuple[str, ...]  # a sentence for each law, set of runs or target without one


@dataclass(frozen=True)
class PointSet:
    """Runs that a law may see, and the targets that are forecast from them."""

    points: Points
    targets: tuple[RunSpec, ...]


def seal_forecasts(
    store: Store, records: Sequence[RunRecord], targets: Sequence[RunSpec], wishes: ForecastSettings, say: Say
) -> Sealed:
    """`records`: of the grid. A law that cannot be fitted, and a set that identifies none, is left out."""
    waiting, left_out = [], []
    for target in targets:
        record = store.read(target.run_id)
        if record is None or record.started_at is None:
            waiting.append(target)
            continue
        before = len(store.forecasts_of(target.run_id))
        left_out.append(
            f"{named(target)} has begun ({record.status}): nothing more is sealed for it ({before} sealed before)"
        )
    points = record_points(records, store.name)
    if waiting and points is None:
        return Sealed((), (*left_out, f"no forecast: {shortfall(records)}"))
    sets, too_small = point_sets(points, waiting, wishes.spans) if points is not None else ([], [])
    found: list[Forecast] = []
    laws = wishes.laws if wishes.laws is not None else (AVERAGE, None)
    work = [(one, law) for one in sets for law in laws]
    for count, (one, law) in enumerate(work, start=1):
        say(f"{law or 'the law that predicts best'} from {len(one.points)} runs ({count} of {len(work)})")
        try:
            whole = fit_records(records, store.name) if law is None and len(one.points) == len(points or ()) else None
            found += [store.seal(made) for made in _forecasts(store, one, law, whole)]
        except InputError as error:
            left_out.append(f"{law or 'the best law'} from {len(one.points)} runs: left out ({error})")
    return Sealed(tuple(found), (*left_out, *too_small))


def point_sets(points: Points, targets: Sequence[RunSpec], spans: Sequence[float]) -> tuple[list[PointSet], list[str]]:
    """All runs, and for each span those far enough below the target; the same set once. And what is left out."""
    found: dict[bytes, tuple[np.ndarray, list[RunSpec]]] = {}
    left_out = []
    for target in targets:
        for span in (None, *spans):
            keep = np.ones(len(points), dtype=bool) if span is None else points.flops <= target.flops / span
            why = shortfall_of(points.n_params[keep], points.d_tokens[keep])
            if why is not None and span is not None:
                left_out.append(f"{named(target)} is not forecast from {span:g}x less compute: {why}")
                continue
            served = found.setdefault(keep.tobytes(), (keep, []))[1]
            if target not in served:
                served.append(target)
    return [PointSet(points.take(keep), tuple(served)) for keep, served in found.values()], left_out


def named(target: RunSpec) -> str:
    n = target.architecture.count(target.data.sequence).non_embedding
    return f"the target of N = {si(n)}, D = {si(target.d_tokens)}"


def _forecasts(store: Store, one: PointSet, law: str | None, fit: Fit | None) -> list[Forecast]:
    """law None: the one that predicts best; `fit` where that is known already. Those that are sealed stay as they are.

    Raises InputError where the points leave no answer.
    """
    points, digest = one.points, one.points.digest
    sealed = [f for target in one.targets for f in store.forecasts_of(target.run_id)]
    sealed = [f for f in sealed if f.law == law and f.points_sha256 == digest]
    if law is not None and len(sealed) == len(one.targets):
        return sealed  # fitting takes longer than looking
    n = np.asarray([t.architecture.count(t.data.sequence).non_embedding for t in one.targets], float)
    d, flops = np.asarray([t.d_tokens for t in one.targets], float), np.asarray([t.flops for t in one.targets])
    if law == AVERAGE:
        average = forecast(points, n, d, flops)
        tested = all(member.tested for member in average.members)
        # The words of `plan`, which asks the same average.
        name, status, sentence = law, "tested on its own largest runs" if tested else "not tested", average.sentence
        loss, (low, high), (low50, high50) = average.loss, average.band(LEVEL), average.band(HALF)
    else:
        if fit is None:
            fit = choose_law(points, RESAMPLES) if law is None else fit_law(points, law, resamples=RESAMPLES)
        outer, inner = (predict(fit, n, d, flops, level=level) for level in (LEVEL, HALF))
        name, status, sentence = fit.law.name, fit.status.value, "; ".join(filter(None, [fit.sentence, fit.chosen]))
        loss, low, high, low50, high50 = outer.loss, outer.low, outer.high, inner.low, inner.high
    if not np.isfinite([loss, low, high, low50, high50]).all():
        raise InputError(f"the {name} law gives no finite loss for these targets; choose other laws")
    return [
        Forecast(
            run_id=target.run_id,
            law=name,
            points_sha256=digest,
            points=len(points),
            n_definition=points.n_definition,
            loss=float(loss[row]),
            low=float(low[row]),
            high=float(high[row]),
            level=LEVEL,
            span=float(target.flops / points.flops.max()),
            status=status,
            sentence=sentence,
            sealed_at=time.time(),
            low50=float(low50[row]),
            high50=float(high50[row]),
            flops=target.flops,
            n_params=float(n[row]),
            d_tokens=float(target.d_tokens),
        )
        for row, target in enumerate(one.targets)
    ]
