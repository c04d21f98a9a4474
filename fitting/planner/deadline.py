"""How many chips help? Chips beyond the critical batch size only add tokens that teach less."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fitting.planner.memory import Mesh
from fitting.planner.recipe_rules import BatchLimits, batch_limits

# Step time that no number of chips gets below: a forward and backward pass over the layers of one sequence with its
# collectives (assumption; 1-10 s are usual at 1e3-1e4 chips).
LEAST_STEP_SECONDS = 1.0


@dataclass(frozen=True)
class Deadline:
    """Limits of data parallelism for a run of D tokens."""

    limits: BatchLimits
    useful_chips: int  # at a sequence each (or 1/tensor of one), in the batch that costs a fifth more tokens
    least_days: float  # in steps of that batch, of LEAST_STEP_SECONDS each
    extra_tokens: float | None  # part of D that the given chips add, if each has one sequence; None: within the limit


def deadline(d_tokens: float, context: int, mesh: Mesh, chips: float | None) -> Deadline:
    """D = D_min (1 + B / B_crit) (McCandlish et al. 2018, arXiv:1812.06162)."""
    limits = batch_limits(d_tokens)
    batch = 0.0 if chips is None else chips / mesh.tensor * context
    return Deadline(
        limits=limits,
        useful_chips=max(math.floor(limits.fifth_more / context) * mesh.tensor, mesh.tensor),
        least_days=d_tokens / limits.fifth_more * LEAST_STEP_SECONDS / 86_400,
        extra_tokens=batch / limits.twice if batch > limits.fifth_more else None,
    )
