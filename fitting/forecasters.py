"""The forecasters that a backtest compares: the average of laws, and single laws by log-Huber."""

from __future__ import annotations

import numpy as np

from fitting.backtest import Bands, Forecaster
from fitting.ensemble import forecast
from fitting.fit import fit_law
from fitting.points import Points
from fitting.predict import predict

RESAMPLES = 300  # enough for 5% and 95% quantiles to a tenth of the half-width


def average(training: Points, targets: Points) -> Bands:
    """`--law auto`."""
    found = forecast(training, targets.n_params, targets.d_tokens, targets.flops)
    return Bands(found.loss, *found.band(0.5), *found.band(0.9))


def single(law: str) -> Forecaster:
    """One law fitted by log-Huber; bootstrap, noise and the fixed discrepancy of fitting/predict.py in its bands."""

    def run(training: Points, targets: Points) -> Bands:
        fit = fit_law(training, law, resamples=RESAMPLES)
        half, most = (
            predict(fit, targets.n_params, targets.d_tokens, targets.flops, level=level) for level in (0.5, 0.9)
        )
        return Bands(half.loss, half.low, half.high, most.low, most.high)

    return run


def parameters_only(law: str) -> Forecaster:
    """One law with the band that is usually published: the bootstrap of its parameters and nothing else."""

    def run(training: Points, targets: Points) -> Bands:
        from fitting.solve import evaluate

        fit = fit_law(training, law, resamples=RESAMPLES)
        x = fit.inputs(targets.columns())
        low90, low50, high50, high90 = np.exp(
            np.quantile(evaluate(fit.law, fit.draws, x), [0.05, 0.25, 0.75, 0.95], axis=0)
        )
        return Bands(np.exp(evaluate(fit.law, fit.theta[None], x)[0]), low50, high50, low90, high90)

    return run


FORECASTERS: dict[str, Forecaster] = {
    "auto": average,
    "chinchilla": single("chinchilla"),
    "gamma": single("gamma"),
    "chinchilla, parameters only": parameters_only("chinchilla"),
}
