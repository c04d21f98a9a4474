"""From points, a target and a budget to the runs to buy: which, what for, what they are expected to change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fitting.ensemble import Average, Ensemble, fit_ensemble, half_decade
from fitting.errors import InputError
from fitting.lint import refuse_unidentifiable
from fitting.next_runs.acquire import Role, buy
from fitting.next_runs.candidates import MOST, Runs, ladder, not_measured
from fitting.next_runs.knowledge import as_forecast, constants_covariance, modes_for, with_shared_bias
from fitting.next_runs.optimum import blend_of, near_optimum
from fitting.next_runs.purpose import purposes
from fitting.next_runs.stop import Verdict, deadweight
from fitting.planner.belief import LEVEL
from fitting.planner.blend import best_run
from fitting.planner.fitted import FURTHEST
from fitting.planner.token_cost import SixN
from fitting.points import Points
from fitting.posterior import Mode

FAR = FURTHEST / 2  # decades beyond the largest run; past them the planner gives no forecast either


@dataclass(frozen=True)
class Band:
    """A loss with its interval, nats per token."""

    loss: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Half of the interval, relative to the loss."""
        return (self.high - self.low) / 2 / self.loss


@dataclass(frozen=True)
class Chosen:
    """One run to buy."""

    n_params: float
    d_tokens: float
    flops: float  # what it costs
    role: Role
    purpose: str  # what it tells most about


@dataclass(frozen=True)
class NextRuns:
    """The answer."""

    target_flops: float
    target_n: float  # N* of the average at the target
    target_d: float
    budget: float  # FLOPs
    candidates: int  # that could be afforded and were not measured
    runs: tuple[Chosen, ...]
    before: Band  # of the target, from the points as they are
    after: Band  # expected, if the runs show what the average expects
    verdict: Verdict
    sentence: str  # which laws, how far off
    caveats: tuple[str, ...]
    n_definition: str

    @property
    def cost(self) -> float:
        return sum(run.flops for run in self.runs)


def next_runs(
    points: Points,
    target_flops: float,
    budget: float,
    candidates: Runs | None = None,
    report: Callable[[str], None] = lambda words: None,
) -> NextRuns:
    """Raises InputError where the points identify no law, or nothing can be bought."""
    refuse_unidentifiable(points)
    ensemble = fit_ensemble(points, [int(half_decade(np.asarray(target_flops)))], report=report)
    modes = modes_for(ensemble, target_flops)
    law = blend_of(ensemble, modes)
    target_n, target_d = (float(value) for value in best_run(law, target_flops, SixN()))
    target = Runs.of(np.asarray([target_n]), np.asarray([target_d]))
    offered = ladder(points, law, budget, target_flops) if candidates is None else candidates
    fresh = not_measured(offered, points)
    affordable = fresh.take(fresh.cost <= budget)
    if not len(affordable):
        dearest = f"; the cheapest of {len(fresh)} left costs {fresh.cost.min():.3g}" if len(fresh) else ""
        raise InputError(
            f"--budget {budget:g} FLOPs buys none of {len(offered)} candidates ({len(offered) - len(fresh)} are "
            f"measured already{dearest}). Raise the budget or give other candidates"
        )
    if len(affordable) > MOST:
        raise InputError(f"{len(affordable)} candidates; allowed are {MOST}. Narrow the budget or give --candidates")
    report(f"{len(affordable)} candidates")
    # The far and cheap of very many points tell next to nothing more; their covariance is a square of them.
    nearest = points.take(np.sort(np.argsort(-points.flops_6nd, kind="stable")[:MOST]))
    known_now = with_shared_bias(ensemble, nearest, target, affordable)
    purchases = buy(known_now, affordable.cost, budget, near_optimum(law, affordable))
    order = [purchase.candidate for purchase in purchases]
    bought = affordable.take(np.asarray(order, dtype=int))

    forecast = ensemble.predict(target.n_params, target.d_tokens, target.compute)
    seen = as_forecast(ensemble, target, affordable)
    for candidate in order:
        seen = seen.bought(candidate)
    expected = dataclasses.replace(forecast, scale=np.sqrt(seen.variance()))
    known = Runs.of(nearest.n_params, nearest.d_tokens)
    told = purposes(modes, ensemble, bought, target_flops)
    return NextRuns(
        target_flops=target_flops,
        target_n=target_n,
        target_d=target_d,
        budget=budget,
        candidates=len(affordable),
        runs=tuple(
            Chosen(float(bought.n_params[i]), float(bought.d_tokens[i]), float(bought.cost[i]), purchase.role, told[i])
            for i, purchase in enumerate(purchases)
        ),
        before=_band(forecast),
        after=_band(expected),
        verdict=_verdict(points, ensemble, modes, known, bought, target, target_flops),
        sentence=forecast.sentence,
        caveats=_caveats(ensemble, target_flops, fresh, budget),
        n_definition=points.n_definition,
    )


def _verdict(
    points: Points, ensemble: Ensemble, modes: list[Mode], known: Runs, bought: Runs, target: Runs, target_flops: float
) -> Verdict:
    weights = np.asarray([member.weight for member in ensemble.members])
    bounds = []
    for mode in modes:
        parameters = mode.law.parameters(mode.law.features(points.columns()) - mode.centre, np.log(points.loss))
        bounds.append(np.asarray([[p.lower for p in parameters], [p.upper for p in parameters]]))

    def price(runs: Runs) -> float | None:
        covariances = [constants_covariance(mode, runs, target_flops) for mode in modes]
        n_params, d_tokens = float(target.n_params[0]), float(target.d_tokens[0])
        return deadweight(modes, covariances, weights, bounds, n_params, d_tokens, target_flops)

    return Verdict(price(known), price(known.joined(bought)), float(bought.cost.sum()))


def _band(average: Average) -> Band:
    low, high = average.band(LEVEL)
    return Band(float(average.loss[0]), float(low[0]), float(high[0]))


def _caveats(ensemble: Ensemble, target_flops: float, fresh: Runs, budget: float) -> tuple[str, ...]:
    said = []
    decades = float(np.log10(target_flops / ensemble.largest))
    if decades > FAR:
        said.append(f"the target is {decades:.1f} decades beyond the largest run; past {FAR:g} no interval was tested")
    if decades <= 0:
        said.append("the target is no larger than the largest run: there is nothing to extrapolate")
    if not all(member.tested for member in ensemble.members):
        said.append("too few runs to measure how fast the laws go wrong with distance: that rate is an assumption")
    out = int((fresh.cost > budget).sum())
    if out:
        said.append(f"{out} candidates cost more than the whole budget each")
    return tuple(said)
