"""Which law? The one that best predicts the largest-compute points from the others, chosen before any target is seen."""

from __future__ import annotations

from dataclasses import dataclass

from fitting.errors import InputError
from fitting.fit import DEFAULT_LAW, RESAMPLES, Fit, FitStatus, fit_law
from fitting.laws import law_names
from fitting.points import Points

UNUSABLE = (FitStatus.NOT_CONVERGED, FitStatus.NOT_IDENTIFIED, FitStatus.TOO_FEW_POINTS)


@dataclass(frozen=True)
class Choice:
    """The chosen fit, and the held-out error of every law that was tried."""

    fit: Fit
    held_out_errors: dict[str, float]  # median |relative error| by law

    @property
    def sentence(self) -> str:
        errors = ", ".join(f"{name} {error:.2%}" for name, error in sorted(self.held_out_errors.items()))
        return (
            f"law chosen by its error on the largest runs, held out: {errors}" if errors else "no law could be tested"
        )


def choose_law(points: Points, resamples: int = RESAMPLES) -> Choice:
    """Fits every law and keeps the one of smallest held-out error. Raises InputError where the default law does."""
    default = fit_law(points, DEFAULT_LAW, resamples=resamples)
    fits = {DEFAULT_LAW: default}
    for name in law_names():
        if name != DEFAULT_LAW:
            try:
                fits[name] = fit_law(points, name, resamples=resamples)
            except InputError:
                continue  # more parameters than these points can bear
    errors = {
        name: fit.held_out.median_error
        for name, fit in fits.items()
        if fit.held_out is not None and fit.status not in UNUSABLE
    }
    return Choice(fits[min(errors, key=errors.__getitem__)] if errors else default, errors)
