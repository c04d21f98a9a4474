"""What must be read before a plan's numbers? Sentences; none is a good sign, not a proof."""

from __future__ import annotations

import math

import numpy as np

from fitting.planner.belief import FURTHEST_DECADES
from fitting.planner.deadline import LARGEST_CUT
from fitting.planner.plan import Plan
from fitting.planner.solve_run import Run
from fitting.planner.token_cost import SixN

UNSAFE = ("not converged", "not identified", "too few points", "not tested")  # statuses of a law
USUAL_RATIO = (1.0, 2000.0)  # D/N that public laws were fitted on
NEAR_6ND = (0.9, 1.2)  # exact FLOPs over 6ND that hours and dollars may ignore
FURTHEST_BELOW = 10.0  # times less compute than the smallest run that need not be said
PLATEAU = 10.0  # between the smallest and the largest size that reach nearly the same loss
MANY_EPOCHS = 16  # beyond, the law of repeated text is hardly tested (Muennighoff et al. 2023)


def caveats(plan: Plan, run: Run) -> tuple[str, ...]:
    """The loudest first."""
    return tuple(sentence for part in (_law(plan, run), _run(plan), _chips(plan), _choices(plan)) for sentence in part)


def _law(plan: Plan, run: Run) -> list[str]:
    said = []
    if plan.decades_beyond > FURTHEST_DECADES:
        said.append(
            f"EXTRAPOLATION OF {plan.decades_beyond:.1f} DECADES beyond the largest run behind this law "
            f"({plan.law.largest_flops:.2g} FLOPs): no law was ever checked so far; nothing here is a forecast"
        )
    if plan.law.status in UNSAFE:
        said.append(f"THE LAW IS {plan.law.status.upper()}: {plan.law.sentence}")
    least = plan.law.smallest_flops / FURTHEST_BELOW
    if plan.flops.value < least:
        said.append(
            f"{plan.flops.value:.2g} FLOPs are {plan.law.smallest_flops / plan.flops.value:.2g} times less than the "
            f"smallest run behind this law: laws bend there, and nothing was checked"
        )
    if plan.loss.value > math.log(plan.vocab_size):
        said.append(
            f"a loss above {math.log(plan.vocab_size):.2f} is worse than guessing among {plan.vocab_size:,} tokens"
        )
    never = float(np.mean(~np.isfinite(run.flops_draws)))
    if not np.isfinite(plan.flops.high):
        said.append(f"in {never:.0%} of the draws no compute reaches this: the upper ends are open")
    return said


def _run(plan: Plan) -> list[str]:
    said = []
    if plan.shape is None:
        said.append(
            f"no model of so many parameters is known with a vocabulary of {plan.vocab_size:,} (--vocab): shape, exact "
            f"FLOPs and the memory of activations are left out"
        )
    if plan.multiplier is not None and not np.isfinite(plan.multiplier.high):
        said.append("in more than 5% of the draws the new loss is below what the old recipe can reach at any compute")
    if not USUAL_RATIO[0] <= plan.ratio.value <= USUAL_RATIO[1]:
        said.append(f"D/N = {plan.ratio.value:.3g} is outside of what laws were fitted on (about 1 to 2,000)")
    if plan.flops_exact is not None and plan.cost_name == SixN().name:
        excess = plan.flops_exact.value / plan.flops.value
        if not NEAR_6ND[0] <= excess <= NEAR_6ND[1]:
            said.append(
                f"attention and head make the exact compute {excess:.3g} times 6ND, and hours and dollars are those of "
                f"6ND; --count exact plans with the exact one"
            )
    return said


def _chips(plan: Plan) -> list[str]:
    said = []
    chips = plan.bill.chips
    if plan.mesh is not None and chips is not None and chips.value < plan.mesh.chips:
        said.append(
            f"{chips.value:.3g} chips are fewer than the {plan.mesh.chips} that hold this model's training state "
            f"({plan.mesh.state * plan.mesh.chips / 1e9:.3g} GB); take more chips, or offload"
        )
    if plan.deadline.extra_tokens:
        said.append(
            f"so many chips need a batch that teaches less a token: with one sequence on every {LARGEST_CUT} of them, "
            f"{plan.deadline.extra_tokens:.0%} more tokens to the same loss, which the answers leave out; up to "
            f"{plan.deadline.useful_chips:,} chips it is less than a fifth (Zhang et al. 2024; Bergsma et al. 2025)"
        )
    if plan.bill.rates.price is None:
        said.append(f"no price of {plan.bill.rates.chip.name} is known: give --price for dollars")
    return said


def _choices(plan: Plan) -> list[str]:
    said = []
    if plan.served is not None and plan.served.far:
        said.append("the best model to serve has D/N above 10,000: no law was checked there, and they overstate it")
    if plan.repeated is not None and plan.repeated.n_params.high > PLATEAU * plan.repeated.n_params.low:
        said.append("the text, not the compute, is the limit: models of very different sizes reach the same loss on it")
    if plan.repeated is not None and plan.repeated.epochs > MANY_EPOCHS:
        said.append(
            f"{plan.repeated.epochs:.0f} epochs: beyond {MANY_EPOCHS} the law of repeated text is hardly tested, and "
            f"it cannot show overfitting"
        )
    return said
