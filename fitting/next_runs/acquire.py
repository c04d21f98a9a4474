"""Which runs should this budget buy? Two large ones as anchors, then what tells most of the target per FLOP^kappa."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fitting.next_runs.knowledge import Knowledge

# Worth is divided by cost^KAPPA. 0: the best runs whatever they cost; 1: many cheap ones.
KAPPA = 0.4  # Li et al. 2026 (arXiv:2604.22753); taken from there, not tuned here
ANCHORS = 2
ANCHOR_SHARE = 0.2  # of the budget that one anchor may take (assumption; docs/next.md)
LITTLE = 0.003  # of the reducible variance: a run that takes off less is not worth its line


class Role(enum.Enum):
    """What a run is bought for; the value is what a person reads."""

    ANCHOR = "anchor"
    KNOWLEDGE = "knowledge"


@dataclass(frozen=True)
class Purchase:
    """One chosen candidate."""

    candidate: int  # row of the candidates
    role: Role


def buy(
    knowledge: Knowledge,
    cost: np.ndarray,
    budget: float,
    near: np.ndarray,
    spend: float | None = None,
    anchors: int = ANCHORS,
    by: Callable[[Knowledge], np.ndarray] = Knowledge.worth,
) -> list[Purchase]:
    """The runs in the order of their purchase; never dearer than the budget together.

    `near`: mask of the runs near the optimum of their compute, which anchors are taken from where there are any.
    `spend`: how much of the budget to commit now (FLOPs; the purchase that passes it is the last), None: all of it.
    """
    bought: list[Purchase] = []
    left = np.ones(len(cost), dtype=bool)
    spent = 0.0

    def take(candidate: int, role: Role) -> None:
        nonlocal knowledge, spent
        knowledge, spent = knowledge.bought(candidate), spent + float(cost[candidate])
        left[candidate] = False
        bought.append(Purchase(candidate, role))

    for _ in range(anchors):
        candidate = anchor(cost, left & (cost <= ANCHOR_SHARE * budget) & (spent + cost <= budget), near)
        if candidate is not None:
            take(candidate, Role.ANCHOR)
    while spent < (budget if spend is None else spend):
        worth = by(knowledge)
        useful = left & (spent + cost <= budget) & (worth > LITTLE * knowledge.reducible().mean())
        if not useful.any():
            break
        candidate = int(np.argmax(np.where(useful, worth / cost**KAPPA, -np.inf)))
        take(candidate, Role.KNOWLEDGE)
    return bought


def anchor(cost: np.ndarray, allowed: np.ndarray, near: np.ndarray) -> int | None:
    """The dearest run near the optimum that is allowed (any, where none is near); None where none is allowed.

    The dearest for what no variance shows: it is nearest to the target that the laws are put to the test.
    """
    among = allowed & near if (allowed & near).any() else allowed
    return int(np.argmax(np.where(among, cost, -np.inf))) if among.any() else None
