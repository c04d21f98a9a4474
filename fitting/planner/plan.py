"""What is a plan? The run to buy, what it costs, what else could be bought, and what its uncertainty comes from."""

from __future__ import annotations

from dataclasses import dataclass

from fitting.planner.belief import Provenance
from fitting.planner.bill import Bill
from fitting.planner.choices import (
    Off,
    Served,
    Smaller,
)
from fitting.planner.compression import Compression
from fitting.planner.deadline import Deadline
from fitting.planner.epochs import Repeated
from fitting.planner.frontier import Frontier
from fitting.planner.memory import Mesh
from fitting.planner.quantity import Quantity
from fitting.planner.recipe_rules import Rule
from fitting.planner.request import Request
from fitting.planner.shape import Shape


@dataclass(frozen=True)
class Recipe:
    """Suggested settings, side by side."""

    rules: tuple[Rule, ...]
    timescale: float  # AdamW's averaging time as a part of the run (Bergsma et al. 2025)
    own: str | None  # what the own sweep says


@dataclass(frozen=True)
class Plan:
    """Every answer with its interval; what was not asked for, or is not known, is None."""

    request: Request
    law: Provenance
    cost_name: str  # how FLOPs are counted: 6ND or exact
    n_params: Quantity
    d_tokens: Quantity
    ratio: Quantity  # D/N
    loss: Quantity  # nats per token
    bpb: Quantity | None
    flops: Quantity  # 6ND
    flops_exact: Quantity | None  # of the shape, attention and head included
    vocab_size: int
    shape: Shape | None  # None: the family has no such model, or none is installed
    mesh: Mesh | None
    bill: Bill
    recipe: Recipe
    smaller: tuple[Smaller, ...]
    served: Served | None
    repeated: Repeated | None
    deadline: Deadline
    off: Off | None
    multiplier: Quantity | None
    compression: Compression
    causes: dict[str, float]  # share of the variance of ln L
    decades_beyond: float  # of compute, beyond the largest run behind the law
    frontier: Frontier
    caveats: tuple[str, ...]  # sentences; empty is a good sign, not a proof
