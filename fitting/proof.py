"""What proves that an optimum is one, and what are the constants there worth? Evidence, a status, and a sentence."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from fitting.laws import Law
from fitting.points import Points
from fitting.solve import Solutions

SAME_BASIN = 1e-4  # relative difference in objective below which a start has reached the optimum's basin
EXACT = 1e-16  # objective a point that is none: points of an exact law are missed by 1e-8 of ln L, and less
STILL_GAINING = 1e-6  # relative; more than this in the last round of restarts means that the optimum was not reached
# Condition number of the Jacobian with unit columns. Measured: 240 Chinchilla points 33; eight runs on one D/N ray
# above 1e8. Above the first the constants are poorly conditioned, above the second no data can tell them apart.
POOR_CONDITION = 1e3
LOST_CONDITION = 1e6
FEW_STARTS = 0.05  # share in the best basin below which another basin may have been missed; assumption


SHOWN = {"e": "E", "a": "A", "b": "B"}  # logarithms of these constants, at the centre, are what is searched


class FitStatus(enum.Enum):
    """What the constants are worth; the value is what a person reads."""

    CONVERGED = "converged"
    BOUND_HIT = "bound hit"
    POORLY_CONDITIONED = "poorly conditioned"
    TOO_FEW_POINTS = "too few points"
    NOT_IDENTIFIED = "not identified"
    NOT_CONVERGED = "not converged"


@dataclass(frozen=True)
class Proof:
    """Evidence that the optimum is one."""

    gradient_norm: float  # largest free |dF/dtheta| / (1 + F), centred coordinates
    smallest_eigenvalue: float  # of the Hessian of the Huber sum, centred coordinates
    singular_values: tuple[float, ...]  # of the Jacobian with unit columns
    starts: int
    best_basin_share: float  # of the starts that end within SAME_BASIN of the best
    restart_gain: float  # relative decrease found by the last round of restarts around the optimum

    @property
    def condition(self) -> float:
        smallest = self.singular_values[-1]
        return float("inf") if smallest == 0 else self.singular_values[0] / smallest


def prove(slopes: np.ndarray, found: Solutions, best: Solutions, gain: float) -> Proof:
    """From the Jacobian at the optimum (points, parameters), all starts, and the gain of the last restarts."""
    free = ~best.at_bound[0]  # a parameter held by its bound has no curvature to show
    norms = np.linalg.norm(slopes, axis=0)
    # A column without any influence stays zero: its singular value says so.
    singular = np.linalg.svd(slopes / np.where(norms > 0, norms, 1.0), compute_uv=False)
    return Proof(
        gradient_norm=float(best.gradient_norm[0]),
        smallest_eigenvalue=float(np.linalg.eigvalsh(best.hessian[0][np.ix_(free, free)])[0]) if free.any() else 0.0,
        singular_values=tuple(float(value) for value in singular),
        starts=len(found.objective),
        best_basin_share=float(np.mean(found.objective <= best.objective[0] * (1 + SAME_BASIN) + len(slopes) * EXACT)),
        restart_gain=gain,
    )


def judge(
    points: Points, law: Law, x: np.ndarray, log_loss: np.ndarray, best: Solutions, proof: Proof
) -> tuple[FitStatus, str]:
    """The worst thing that can be said, with the reason."""
    names = [parameter.name for parameter in law.parameters(x, log_loss)]
    bound = [SHOWN.get(name, name) for name, hit in zip(names, best.at_bound[0], strict=True) if hit]
    if not best.converged[0] or proof.restart_gain > STILL_GAINING:
        left = f"gradient {proof.gradient_norm:.0e}, a restart still gained {proof.restart_gain:.0e}"
        return FitStatus.NOT_CONVERGED, f"the solver stopped before the optimum ({left}); constants are not to be used"
    if proof.condition > LOST_CONDITION:
        return FitStatus.NOT_IDENTIFIED, (
            f"the runs cannot tell the constants apart (condition number {proof.condition:.0e}); vary N and D "
            f"independently, for example by runs at another D/N"
        )
    if bound:
        return FitStatus.BOUND_HIT, (
            f"{', '.join(bound)} ended on a bound: the points do not determine it; read the predictions, not the "
            f"constants"
        )
    if len(points) < len(names) + 3:
        return FitStatus.TOO_FEW_POINTS, f"{len(points)} points for {len(names)} parameters: intervals are too narrow"
    if proof.condition > POOR_CONDITION or proof.smallest_eigenvalue <= 0:
        return FitStatus.POORLY_CONDITIONED, (
            f"some constants trade against each other (condition number {proof.condition:.0f}, smallest curvature "
            f"{proof.smallest_eigenvalue:.1e}); read the predictions, not the constants"
        )
    if proof.best_basin_share < FEW_STARTS:
        reached = round(proof.best_basin_share * proof.starts)
        return FitStatus.POORLY_CONDITIONED, (
            f"{f'only {reached}' if reached else 'none'} of {proof.starts} starts reached this optimum"
            f"{'' if reached else ', restarts around the best did'}: there may be a better one; read the predictions, "
            f"not the constants"
        )
    return FitStatus.CONVERGED, (
        f"{proof.best_basin_share:.0%} of {proof.starts} starts reach this optimum, gradient "
        f"{proof.gradient_norm:.0e}, condition number {proof.condition:.0f}"
    )
