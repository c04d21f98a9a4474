"""How many chips help? Chips beyond the critical batch size only add tokens that teach less."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fitting.planner.memory import Mesh
from fitting.planner.recipe_rules import critical_batches

# Step time that no number of chips gets below: a forward and backward pass over the layers of one sequence with its
# collectives (assumption; 1-10 s are usual at 1e3-1e4 chips).
LEAST_STEP_SECONDS = 1.0


@dataclass(frozen=True)
class Deadline:
    """Limits of data parallelism for a run of D tokens."""

    batch_low: float  # tokens; critical batch size by the lower of two sources
    batch_high: float
    useful_chips: int  # at a sequence each (or 1/tensor of one), in a batch of batch_high
    least_days: float  # D / batch_high steps of LEAST_STEP_SECONDS
    extra_tokens: float | None  # part of D that the given chips add, if each has one sequence; None: within the limit


def deadline(d_tokens: float, context: int, mesh: Mesh, chips: float | None) -> Deadline:
    """D = D_min (1 + B / B_crit): at B_crit itself twice the tokens for half the steps (McCandlish et al. 2018)."""
    low, high = critical_batches(d_tokens)
    useful = math.floor(high / context) * mesh.tensor
    batch = 0.0 if chips is None else chips / mesh.tensor * context
    return Deadline(
        batch_low=low,
        batch_high=high,
        useful_chips=max(useful, mesh.tensor),
        least_days=d_tokens / high * LEAST_STEP_SECONDS / 86_400,
        extra_tokens=batch / high if batch > high else None,
    )
