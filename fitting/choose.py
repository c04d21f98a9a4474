"""Which law? The one that best predicts the largest-compute points from the others, before any target is seen."""

from __future__ import annotations

import dataclasses

from fitting.errors import InputError
from fitting.fit import DEFAULT_LAW, RESAMPLES, Fit, FitStatus, fit_law
from fitting.points import Points

CHALLENGERS = ("gamma",)  # beside the default: what wins on densely sampled sweeps
UNUSABLE = (FitStatus.NOT_CONVERGED, FitStatus.NOT_IDENTIFIED, FitStatus.TOO_FEW_POINTS)


def choose_law(points: Points, resamples: int = RESAMPLES) -> Fit:
    """Fits the default law and its challengers and keeps the one of smallest held-out error; `Fit.chosen` says so.

    Raises InputError where the default law does.
    """
    fits = {DEFAULT_LAW: fit_law(points, DEFAULT_LAW, resamples=resamples)}
    for name in CHALLENGERS:
        try:
            fits[name] = fit_law(points, name, resamples=resamples)
        except InputError:
            continue  # more parameters than these points can bear
    errors = {
        name: fit.held_out.median_error
        for name, fit in fits.items()
        if fit.held_out is not None and fit.status not in UNUSABLE
    }
    if not errors:
        return fits[DEFAULT_LAW]
    shown = ", ".join(f"{name} {error:.2%}" for name, error in sorted(errors.items()))
    best = fits[min(errors, key=errors.__getitem__)]
    return dataclasses.replace(best, chosen=f"chosen by the median error on the largest runs, held out: {shown}")
