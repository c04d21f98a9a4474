"""The law of a sweep and its forecast of the target: points from the store, sealed before the target is trained."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from fitting.fit import Fit, fit_law
from fitting.points import Points
from fitting.predict import predict
from results.record import RunRecord, RunStatus
from results.store import Forecast, Store
from sweep.spec import RunSpec

# The count that the law of a sweep is fitted in: without the embedding and the head, whose share falls with N.
N_DEFINITION = "n_params_non_embedding"
FEWEST_RUNS = 8  # of five-parameter laws; below, no interval is worth printing


def sweep_points(records: Sequence[RunRecord], source: str) -> Points | None:
    """The finished runs as points; None where there are too few or they do not vary. The rest is named as left out."""
    done = [record for record in records if record.status == RunStatus.DONE and record.loss is not None]
    left = sorted(
        {f"{record.status} ({record.run_id[:8]}: {record.sentence})" for record in records if record not in done}
    )
    sizes, horizons = {record.n_params_non_embedding for record in done}, {record.d_tokens for record in done}
    if len(done) < FEWEST_RUNS or len(sizes) < 3 or len(horizons) < 3:
        return None
    return Points(
        n_params=np.asarray([record.n_params_non_embedding for record in done]),
        d_tokens=np.asarray([record.d_tokens for record in done]),
        loss=np.asarray([record.loss for record in done]),
        flops=np.asarray([record.flops for record in done]),
        cluster=tuple(record.run_id for record in done),
        source=source,
        n_definition=N_DEFINITION,
        flops_definition="exact training FLOPs",
        excluded=tuple(left),
    )


def fit_sweep(records: Sequence[RunRecord], source: str) -> Fit | None:
    points = sweep_points(records, source)
    return None if points is None else fit_law(points)


def seal_forecast(store: Store, fit: Fit, target: RunSpec) -> Forecast:
    """Predicts the target and seals it; a forecast that is sealed already stays."""
    count = target.architecture.count(target.data.sequence)
    predicted = predict(
        fit,
        np.asarray([count.non_embedding], float),
        np.asarray([target.d_tokens], float),
        flops=np.asarray([target.flops]),
    )
    return store.seal(
        Forecast(
            run_id=target.run_id,
            law=fit.law.name,
            points_sha256=fit.points.digest,
            points=len(fit.points),
            n_definition=fit.points.n_definition,
            loss=float(predicted.loss[0]),
            low=float(predicted.low[0]),
            high=float(predicted.high[0]),
            level=predicted.level,
            span=float(target.flops / fit.points.flops.max()),
            status=fit.status.value,
            sentence=fit.sentence,
            sealed_at=time.time(),
        )
    )
