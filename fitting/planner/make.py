"""How is a plan made? From a request, a belief, a chip and the own runs: the run, its bill, the alternatives."""

from __future__ import annotations

import dataclasses

import numpy as np

from fitting.chips import Chip
from fitting.errors import InputError
from fitting.planner.belief import NORMAL_90, Belief
from fitting.planner.bill import DAY, HOUR, Rates, bill, rates
from fitting.planner.blend import TokenCost, best_run
from fitting.planner.caveats import caveats
from fitting.planner.choices import (
    best_served,
    compute_multiplier,
    off_optimum,
    smaller_models,
)
from fitting.planner.compression import bits_per_byte, compression
from fitting.planner.deadline import deadline
from fitting.planner.epochs import best_repeated
from fitting.planner.frontier import frontier
from fitting.planner.memory import smallest_mesh
from fitting.planner.own_runs import OwnRuns
from fitting.planner.plan import Plan, Recipe
from fitting.planner.quantity import LOSS_SEED, Quantity, shocks
from fitting.planner.recipe_rules import deepseek, power_lines, step_law, weight_decay_timescale
from fitting.planner.request import Known, Request
from fitting.planner.shape import DEFAULT_CONTEXT, DEFAULT_VOCAB, Shape, shape_of
from fitting.planner.solve_run import Run, solve_run
from fitting.planner.speed import Speed, speed_of

SPEED_ROUNDS = 4  # MFU depends on N, and N on what MFU makes of the dollars


def make_plan(request: Request, belief: Belief, chip: Chip, own: OwnRuns, cost: TokenCost) -> Plan:
    """Raises InputError where what is asked cannot be had."""
    at, run = _run_and_rates(request, belief, chip, own, cost)
    law, draws = belief.blend(run.flops_6nd), belief.draws(run.flops_6nd)
    loss, causes = _loss(request, belief, run)
    context = request.context or own.sequence or DEFAULT_CONTEXT
    vocab = request.vocab or own.vocab_size or DEFAULT_VOCAB
    shape = shape_of(run.n_params, belief.provenance.n_definition, vocab, context)
    total = shape.total if shape is not None else run.n_params
    mesh = smallest_mesh(chip, total, shape)
    paid = bill(request, at, run.flops, run.flops_draws)
    per_token = request.bytes_per_token or belief.provenance.bytes_per_token
    best_n, best_d = (float(value) for value in best_run(law, run.flops, cost))
    fixed = request.n_params is not None or request.d_tokens is not None
    reached = float(law.loss(run.n_params, run.d_tokens))
    weight = 1.0
    if request.serve_mfu or request.serve_price:
        price = at.price[1] if at.price else 1.0
        weight = at.speed.value / (request.serve_mfu or at.speed.value) * (request.serve_price or price) / price
    served = repeated = multiplier = None
    if request.serve_tokens is not None:
        served = best_served(law, draws, run.n_params, run.d_tokens, reached, request.serve_tokens, cost, weight)
    if request.unique_tokens is not None:
        repeated = best_repeated(law, run.n_params, run.d_tokens, request.unique_tokens, cost)
    limits = deadline(run.d_tokens, context, paid.chip_hours.value, paid.chips.value if paid.chips else None)
    if request.change is not None:
        multiplier = compute_multiplier(law, draws, *request.change, cost)
        if not np.isfinite(multiplier.value):
            floor = float(law.loss(1e40, 1e40))
            raise InputError(
                f"--change {request.change[0]:g} {request.change[1]:g}: this law's loss stays above {floor:.4f}"
            )
    non_embedding = shape.non_embedding if shape is not None else run.n_params
    plan = Plan(
        request=request,
        law=belief.provenance,
        cost_name=cost.name,
        n_params=Quantity.of(run.n_params, run.n_draws),
        d_tokens=Quantity.of(run.d_tokens, run.d_draws),
        ratio=Quantity.of(run.d_tokens / run.n_params, _ratio(run)),
        loss=loss,
        bpb=bits_per_byte(loss, per_token) if per_token else None,
        flops=Quantity.of(run.flops_6nd, run.flops_draws * run.flops_6nd / run.flops),
        flops_exact=None if shape is None else _exact(shape, run),
        vocab_size=vocab,
        shape=shape,
        mesh=mesh,
        bill=paid,
        recipe=Recipe(
            rules=(
                step_law(non_embedding, run.d_tokens),
                deepseek(non_embedding, run.d_tokens),
                power_lines(run.d_tokens),
            ),
            timescale=weight_decay_timescale(run.n_params, run.d_tokens),
            own=own.learning_rate,
        ),
        smaller=smaller_models(law, draws, run.n_params, run.d_tokens, reached, cost),
        served=served,
        repeated=repeated,
        deadline=limits,
        off=off_optimum(law, draws, run.n_params, run.d_tokens, cost, (best_n, best_d)) if fixed else None,
        multiplier=multiplier,
        compression=compression(total, run.d_tokens, loss, request.text_bytes, per_token),
        causes=causes,
        decades_beyond=belief.decades_beyond(run.flops_6nd),
        frontier=frontier(belief, run.flops, cost),
        caveats=(),
    )
    return dataclasses.replace(plan, caveats=caveats(plan, run))


def _run_and_rates(request: Request, belief: Belief, chip: Chip, own: OwnRuns, cost: TokenCost) -> tuple[Rates, Run]:
    """The run and the speed of its chips: each needs the other where the budget is no FLOPs."""
    hours = request.chip_hours
    if request.days is not None and request.chips is not None:
        hours = request.days * DAY * request.chips
    if request.known is Known.RUN and hours is not None:
        at = rates(chip, Speed(1.0, 1.0, 1.0, ""), request.price)
        run = solve_run(request, belief, at, cost)
        reached = run.flops_6nd / (hours * HOUR * chip.peak_flops)
        if reached > 1:
            raise InputError(
                f"{run.flops_6nd:.3g} FLOPs in {hours:.4g} hours of {chip.name} is {reached:.0%} of its dense bf16 "
                f"peak: impossible. Check N, D, the hours and the chip"
            )
        speed = Speed(reached, reached, reached, "from the hours given")
        return rates(chip, speed, request.price, run.flops / run.flops_6nd), run
    size, counted = request.n_params or 1e9, 1.0
    for _ in range(SPEED_ROUNDS):
        at = rates(chip, speed_of(chip, size, request.mfu, own), request.price, counted)
        run = solve_run(request, belief, at, cost)
        size, counted = run.n_params, run.flops / run.flops_6nd
    at = dataclasses.replace(at, counted=counted)
    return at, run


def _loss(request: Request, belief: Belief, run: Run) -> tuple[Quantity, dict[str, float]]:
    """The loss of the run, and what its uncertainty comes from."""
    parts = dict(belief.loss_variance(run.n_params, run.d_tokens))
    value, low, high = belief.loss_band(run.n_params, run.d_tokens)
    if request.known is Known.COMPUTE and request.budget != "flops":
        # The budget buys an uncertain compute: the chosen run grows and shrinks with it along its own D/N, or along
        # the one of the two that was not given.
        scale = np.sqrt(run.flops_draws / run.flops)
        fixed = request.n_params is not None or request.d_tokens is not None
        n = run.n_draws if fixed else run.n_params * scale
        d = run.d_draws if fixed else run.d_tokens * scale
        losses = belief.blend(run.flops_6nd).loss(n, d)
        parts["what the budget buys (MFU, price)"] = float(np.var(np.log(losses)))
        z = shocks(LOSS_SEED)
        miss = np.where(z < 0, np.log(value / low), np.log(high / value)) / NORMAL_90 * z
        quantity = Quantity.of(value, losses * np.exp(miss))
    else:
        quantity = Quantity(value, low, high)
    total = sum(parts.values())
    return quantity, {name: part / total for name, part in parts.items()} if total > 0 else {}


def _ratio(run: Run) -> np.ndarray:
    known = np.isfinite(run.n_draws) & np.isfinite(run.d_draws)
    return np.where(known, np.where(known, run.d_draws, 1.0) / np.where(known, run.n_draws, 1.0), np.nan)


def _exact(shape: Shape, run: Run) -> Quantity:
    """Exact FLOPs of the shape over D tokens; draws in proportion to 6ND."""
    value = shape.flops_per_token * run.d_tokens
    return Quantity.of(value, run.flops_draws * value / run.flops)
