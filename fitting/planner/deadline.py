"""How many chips help? Chips beyond the critical batch size only add tokens that teach less."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fitting.planner.memory import TENSOR_CUTS
from fitting.planner.recipe_rules import BatchLimits, batch_limits

LARGEST_CUT = max(TENSOR_CUTS)  # chips that can share one sequence
HOURS_A_DAY = 24.0


@dataclass(frozen=True)
class Deadline:
    """Limits of data parallelism for a run of D tokens."""

    limits: BatchLimits
    useful_chips: int  # in the batch that costs a fifth more tokens, LARGEST_CUT to a sequence
    days: float  # on so many, at the plan's MFU
    extra_tokens: float | None  # part of D that the given chips add, LARGEST_CUT to a sequence; None: within the limit


def deadline(d_tokens: float, context: int, chip_hours: float, chips: float | None) -> Deadline:
    """D = D_min (1 + B / B_crit) (McCandlish et al. 2018, arXiv:1812.06162)."""
    limits = batch_limits(d_tokens)
    batch = 0.0 if chips is None else chips / LARGEST_CUT * context
    useful = max(math.floor(limits.fifth_more / context), 1) * LARGEST_CUT
    return Deadline(
        limits=limits,
        useful_chips=useful,
        days=chip_hours / useful / HOURS_A_DAY,
        extra_tokens=batch / limits.twice if batch > limits.fifth_more else None,
    )
