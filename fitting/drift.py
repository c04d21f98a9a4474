"""How do the constants drift with a compute cut? The law refitted to the runs below each cut, the others predicted.

A law that is right gives the same constants at every cut, within their intervals; one that drifts is not to be trusted
beyond the last cut either. On the 240 Chinchilla points a = beta/(alpha + beta) is 0.60, 0.58, 0.55 and 0.51 for cuts
at 1e20, 3e20 and 1e21 FLOPs and for all points.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from fitting.allocate import Range
from fitting.fit import SEED, Fit
from fitting.refit import RESAMPLES, Estimate, Refit, refit, refusal

CUTS = 10
SPARE = 5  # points beyond the number of parameters, at the smallest cut that is chosen without being asked for
ONE_SLICE = 0.02  # of ln C: runs of an IsoFLOP slice are closer, and no cut goes through one
SAME_COMPUTE = 1 + 1e-9  # runs at a cut are below it, whatever the rounding


@dataclass(frozen=True)
class Drift:
    """Refits at growing cuts, the last of which keeps every point unless others were asked for; arrays over cuts."""

    flops: np.ndarray  # largest compute kept, FLOPs
    kept: np.ndarray  # points kept
    refits: tuple[Refit, ...]
    constants: Mapping[str, Range]
    n_exponent: Range | None  # a of N* ~ C^a; None: the law has no two exponents
    held_out_median: np.ndarray  # median |relative error| of the points above; NaN where none is
    held_out_largest: np.ndarray


def drift(fit: Fit, cuts: Sequence[float] | None = None, resamples: int = RESAMPLES, seed: int = SEED) -> Drift:
    """Refits below each cut of compute (FLOPs, as the points count them); None: about CUTS of them, where runs are."""
    chosen = cuts_of(fit) if cuts is None else np.sort(np.asarray(cuts, float))
    with ThreadPoolExecutor() as pool:  # XLA computes outside of Python's lock
        found = tuple(pool.map(lambda cut: refit(fit, _below(fit, cut), resamples, seed), chosen))
    held_out = [one.fit.held_out for one in found]
    exponents = [one.n_exponent for one in found]
    return Drift(
        flops=np.asarray([one.flops for one in found]),
        kept=np.asarray([int(one.keep.sum()) for one in found]),
        refits=found,
        constants={name: _over_cuts([one.constants[name] for one in found]) for name in fit.constants},
        n_exponent=_over_cuts([one for one in exponents if one is not None]) if all(exponents) else None,
        held_out_median=np.asarray([np.nan if out is None else out.median_error for out in held_out]),
        held_out_largest=np.asarray([np.nan if out is None else out.largest_error for out in held_out]),
    )


def cuts_of(fit: Fit) -> np.ndarray:
    """Computes of runs, evenly spaced in ln C from the fewest points that bear the law up to all of them."""
    flops = np.sort(fit.points.flops)
    usable = np.unique(flops[min(len(fit.theta) + SPARE, len(flops)) - 1 :])
    # Points that bear the law still do when others join them.
    first = bisect.bisect_left(usable.tolist(), True, key=lambda cut: refusal(fit, _below(fit, cut)) is None)
    usable = usable[first:]
    usable = usable[np.append(np.diff(np.log(usable)) > ONE_SLICE, True)]  # the dearest run of each slice
    even = np.geomspace(usable[0], usable[-1], CUTS) * SAME_COMPUTE
    return np.unique(usable[np.searchsorted(usable, even, side="right") - 1])


def _below(fit: Fit, cut: float) -> np.ndarray:
    return fit.points.flops <= cut * SAME_COMPUTE


def _over_cuts(estimates: list[Estimate]) -> Range:
    return Range(*(np.asarray([getattr(one, side) for one in estimates]) for side in ("value", "low", "high")))
