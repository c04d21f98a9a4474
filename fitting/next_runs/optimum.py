"""Where does the average of laws put the best size, and which runs lie near it?"""

from __future__ import annotations

import numpy as np

from fitting.ensemble import Ensemble
from fitting.next_runs.candidates import Runs
from fitting.planner.blend import Blend, best_run
from fitting.planner.surface import Surface
from fitting.planner.token_cost import SixN
from fitting.posterior import Mode

NEAR = 2.0  # N from N*/2 to 2 N* of its own compute: costs under 10% of extra compute under published laws


def blend_of(ensemble: Ensemble, modes: list[Mode]) -> Blend:
    """The average as one surface."""
    surfaces = [Surface.of(mode.law.constants(mode.theta, mode.centre)) for mode in modes]
    kept = tuple(surface for surface in surfaces if surface is not None)
    assert len(kept) == len(modes)  # all laws of the average are two-term laws
    return Blend(kept, tuple(member.weight for member in ensemble.members))


def near_optimum(law: Blend, runs: Runs) -> np.ndarray:
    """Mask of the runs whose size is about the best for their compute, (runs,)."""
    best, _ = best_run(law, runs.compute, SixN())
    return np.abs(np.log(runs.n_params / best)) <= np.log(NEAR)
