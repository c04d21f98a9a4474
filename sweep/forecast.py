"""The forecast of a sweep's target, sealed before the target is trained."""

from __future__ import annotations

import time

import numpy as np

from fitting.fit import Fit
from fitting.predict import predict
from results.store import Forecast, Store
from sweep.spec import RunSpec


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
            sentence="; ".join(filter(None, [fit.sentence, fit.chosen])),
            sealed_at=time.time(),
        )
    )
