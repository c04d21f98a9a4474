"""How good were the forecasts of each law? Errors, coverage and interval scores of the sealed and told ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitting.backtest import interval_score
from results.outcome import Outcome

AVERAGE = "auto"  # the law's name of a forecast by the average of laws


@dataclass(frozen=True)
class LawScore:
    """One law over all of its forecasts that were sealed in time and whose run has ended."""

    law: str
    told: int
    median_error: float  # |forecast / truth - 1|
    largest_error: float
    inside50: int
    told50: int  # that have a 50% interval
    inside90: int
    half_width90: float  # median, relative to the forecast
    interval_score90: float  # mean, relative to the truth; lower is better


def laws_of(outcomes: Sequence[Outcome]) -> list[str]:
    """The average first."""
    return sorted({outcome.forecast.law for outcome in outcomes}, key=lambda law: (law != AVERAGE, law))


def told_of(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What counts: a truth is known, and the seal is not younger than the run."""
    return [one for one in outcomes if one.truth is not None and one.sealed_before is not False]


def law_scores(outcomes: Sequence[Outcome]) -> list[LawScore]:
    """One a law that has a told forecast."""
    scores = []
    for law in laws_of(outcomes):
        told = [one for one in told_of(outcomes) if one.forecast.law == law]
        if not told:
            continue
        errors = [abs(one.error or 0.0) for one in told]
        halves = [one.inside50 for one in told if one.inside50 is not None]
        low, high, truth = np.asarray([(one.forecast.low, one.forecast.high, one.truth) for one in told], float).T
        scores.append(
            LawScore(
                law=law,
                told=len(told),
                median_error=float(np.median(errors)),
                largest_error=max(errors),
                inside50=sum(map(bool, halves)),
                told50=len(halves),
                inside90=sum(bool(one.inside) for one in told),
                half_width90=float(np.median((high - low) / 2 / _losses(told))),
                interval_score90=float(np.mean(interval_score(low, high, truth))),
            )
        )
    return scores


def _losses(outcomes: Sequence[Outcome]) -> np.ndarray:
    return np.asarray([one.forecast.loss for one in outcomes])
