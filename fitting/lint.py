"""Can this design identify a law? Checked before launch on N and D alone, and again on measured points."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from fitting.errors import InputError
from fitting.laws import law_named
from fitting.points import Points
from fitting.proof import LOST_CONDITION

FEWEST_DECADES = 2.0  # of compute; below, the floor cannot be told from the power terms (assumption, from pools)
FEWEST_VALUES = 3  # of N and of D
# Spread of ln(D/N) after its trend in ln N is taken off: below, all runs lie on one curve D(N). A ladder at D = 20 N
# has 0; a factor of 2 in D/N at every N gives 0.35.
SMALLEST_SPREAD = 0.15
# Exponents of the reference law with which a design is judged before any loss is known (Besiroglu et al. 2024).
REFERENCE_THETA = (-0.7, 0.35, -0.7, 0.37, 0.6)  # a, alpha, b, beta, e, centred


class Severity(enum.Enum):
    """Refused: no law can be identified. Warning: it can, badly. Note: nothing is wrong."""

    REFUSED = "refused"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a design, and what to do about it."""

    severity: Severity
    name: str
    sentence: str
    remedy: str


def lint_design(n_params: np.ndarray, d_tokens: np.ndarray, cluster: tuple[str, ...] | None = None) -> list[Finding]:
    """Findings on runs (runs,), worst first; an empty list is a good sign, not a proof."""
    n, d = np.asarray(n_params, float), np.asarray(d_tokens, float)
    findings = [*_few_values(n, d), *_one_curve(n, d), *_few_decades(n, d), *_repeats(n, d, cluster)]
    refused = [finding for finding in findings if finding.severity is Severity.REFUSED]
    if not refused and condition(n, d) > LOST_CONDITION:
        findings.append(
            Finding(
                Severity.REFUSED,
                "ill-conditioned",
                f"the runs cannot tell the constants of a law apart (condition number {condition(n, d):.0e})",
                _off_curve(n, d),
            )
        )
    return sorted(findings, key=lambda finding: finding.severity is not Severity.REFUSED)


def refuse_unidentifiable(points: Points) -> None:
    """Raises InputError with the first reason why no law can be identified."""
    for finding in lint_design(points.n_params, points.d_tokens):
        if finding.severity is Severity.REFUSED:
            raise InputError(
                f"{points.source}: {finding.name}: {finding.sentence}; {finding.remedy}. --force fits all the same"
            )


def condition(n_params: np.ndarray, d_tokens: np.ndarray) -> float:
    """Condition number of the reference law's Jacobian on this design, columns at unit length."""
    from fitting.solve import jacobian

    law = law_named("chinchilla")
    x = np.log(np.stack([n_params, d_tokens], axis=1))
    slopes = jacobian(law, np.asarray(REFERENCE_THETA), x - x.mean(axis=0))
    norms = np.linalg.norm(slopes, axis=0)
    singular = np.linalg.svd(slopes / np.where(norms > 0, norms, 1.0), compute_uv=False)
    return float("inf") if singular[-1] == 0 else float(singular[0] / singular[-1])


def _few_values(n: np.ndarray, d: np.ndarray) -> list[Finding]:
    findings = []
    for name, values in (("N", n), ("D", d)):
        count = len(np.unique(np.round(np.log(values), 3)))
        if count < FEWEST_VALUES:
            findings.append(
                Finding(
                    Severity.REFUSED,
                    f"few values of {name}",
                    f"{name} takes {count} value{'s' if count > 1 else ''}; a floor and an exponent need three",
                    f"add runs at another {name}, such as {name} = {4 * values.max():.3g} or {values.min() / 4:.3g}",
                )
            )
    return findings


def _one_curve(n: np.ndarray, d: np.ndarray) -> list[Finding]:
    x, y = np.log(n), np.log(d / n)
    if np.ptp(x) < 1e-9:
        return []
    trend = np.polyfit(x, y, 1)
    spread = float(np.std(y - np.polyval(trend, x)))
    if spread >= SMALLEST_SPREAD:
        return []
    ratio = float(np.exp(np.median(y)))
    where = f"at D = {ratio:.3g} N" if abs(trend[0]) < 0.1 else f"on one curve, D ~ N^{1 + trend[0]:.2f}"
    return [
        Finding(
            Severity.REFUSED,
            "one D/N ray",
            f"all {len(n)} runs lie {where}: what N does and what D does cannot be told apart",
            _off_curve(n, d),
        )
    ]


def _few_decades(n: np.ndarray, d: np.ndarray) -> list[Finding]:
    decades = float(np.log10((n * d).max() / (n * d).min()))
    if decades >= FEWEST_DECADES:
        return []
    return [
        Finding(
            Severity.WARNING,
            "short lever",
            f"the runs span {decades:.1f} decades of compute; under {FEWEST_DECADES:g} the floor E is a guess",
            f"add cheap runs near C = {6 * (n * d).max() / 10**FEWEST_DECADES:.2g} FLOPs",
        )
    ]


def _repeats(n: np.ndarray, d: np.ndarray, cluster: tuple[str, ...] | None) -> list[Finding]:
    findings = []
    pairs = len(np.unique(np.round(np.log(np.stack([n, d])), 6), axis=1).T)
    if pairs < len(n):
        findings.append(
            Finding(
                Severity.WARNING,
                "repeated cells",
                f"{len(n) - pairs} of {len(n)} runs repeat an (N, D) that is there already",
                "seeds are welcome for the noise; learning-rate trials should be reduced to the best of each cell",
            )
        )
    if cluster is not None and len(set(cluster)) < len(cluster):
        findings.append(
            Finding(
                Severity.WARNING,
                "rows of one run",
                f"{len(cluster)} rows come from {len(set(cluster))} runs and are not independent",
                "whole runs are resampled; use final losses, not checkpoints under a high learning rate",
            )
        )
    return findings


def _off_curve(n: np.ndarray, d: np.ndarray) -> str:
    """Two runs of the median compute, four times off the ray to either side."""
    middle = np.argsort(n * d)[len(n) // 2]
    wide, long = (4 * n[middle], d[middle] / 4), (n[middle] / 4, 4 * d[middle])
    cost = 6 * (wide[0] * wide[1] + long[0] * long[1])
    return (
        f"add N = {wide[0]:.3g}, D = {wide[1]:.3g} and N = {long[0]:.3g}, D = {long[1]:.3g} "
        f"({cost:.2g} FLOPs together), better a second and third D/N at every N"
    )
