"""Which runs could be bought? A user's list, or a ladder of sizes around the optimum of every affordable compute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.errors import InputError
from fitting.planner.blend import Blend, best_run
from fitting.planner.surface import training_flops
from fitting.planner.token_cost import SixN
from fitting.points import Points
from fitting.read import Columns, read_targets
from fitting.table import read_table

DEFAULT_COST = "flops"  # column of a candidates file that is the cost where none is named
STEPS = np.asarray([1.0, 1.5, 2.0, 3.0, 5.0, 7.0])  # of a decade: figures that people write, 1.3 to 1.7 times apart
SPREAD = 4.0  # N from N*/4 to 4 N* of each budget: D/N over a factor of 256, plenty to tell N from D (fitting/lint.py)
RATIOS = (1.0, 2000.0)  # D/N that published laws were fitted on, roughly; wider where the points themselves are
NEAREST_TARGET = 2.0  # a pilot costs at most half of the target: dearer, and the target itself is the better buy
SAME = 0.05  # of ln N and of ln D: closer than this is the same run
MOST = 3000  # candidates; the joint covariance is a square of them


@dataclass(frozen=True)
class Runs:
    """Runs that are not trained yet. Arrays of shape (runs,)."""

    n_params: np.ndarray
    d_tokens: np.ndarray
    cost: np.ndarray  # FLOPs that buying one takes; 6ND unless a file says otherwise

    @classmethod
    def of(cls, n_params: np.ndarray, d_tokens: np.ndarray) -> Runs:
        """At 6ND."""
        n, d = np.asarray(n_params, float), np.asarray(d_tokens, float)
        return cls(n, d, training_flops(n, d))

    def __len__(self) -> int:
        return len(self.n_params)

    @property
    def compute(self) -> np.ndarray:
        """6ND, in which distance to the target is measured, whatever a run costs."""
        return training_flops(self.n_params, self.d_tokens)

    def take(self, keep: np.ndarray) -> Runs:
        return Runs(self.n_params[keep], self.d_tokens[keep], self.cost[keep])

    def joined(self, others: Runs) -> Runs:
        """These, then the others."""
        parts = (np.concatenate([getattr(self, n), getattr(others, n)]) for n in ("n_params", "d_tokens", "cost"))
        return Runs(*parts)


def read_candidates(path: str, n_column: str, d_column: str, flops_column: str | None) -> Runs:
    """N, D and, where there is such a column, the cost of each run. Raises InputError with file, column and row."""
    n_params, d_tokens, _ = read_targets(path, Columns(d_tokens=d_column), counted=n_column)
    if len(n_params) > MOST:
        raise InputError(f"{path}: {len(n_params)} candidates; allowed are {MOST}. Keep those worth considering")
    priced = flops_column or (DEFAULT_COST if DEFAULT_COST in read_table([path]) else None)
    if priced is None:
        return Runs.of(n_params, d_tokens)
    cost, _, _ = read_targets(path, Columns(n_params=priced, d_tokens=d_column))  # the same checks for another column
    return Runs(n_params, d_tokens, cost)


def ladder(points: Points, law: Blend, budget: float, target_flops: float) -> Runs:
    """Runs of every budget from the smallest fitted run to what the money and the target allow, over sizes at each."""
    dearest = min(budget, target_flops / NEAREST_TARGET)
    budgets = _steps(float(points.flops_6nd.min()), dearest)
    if not len(budgets):
        raise InputError(
            f"--budget {budget:g} and a target of {target_flops:g} FLOPs leave no run to buy: the smallest run of "
            f"{points.source} took {points.flops_6nd.min():.3g} FLOPs. Raise the budget, or give --candidates"
        )
    measured = points.d_tokens / points.n_params
    least, most = min(RATIOS[0], float(measured.min())), max(RATIOS[1], float(measured.max()))
    n_params, d_tokens = [], []
    for flops in budgets:
        middle, _ = best_run(law, flops, SixN())
        for n in _steps(float(middle) / SPREAD, float(middle) * SPREAD):
            d = float(f"{flops / training_flops(n, 1.0):.3g}")  # rounded: it is pasted into a command line
            if least <= d / n <= most and training_flops(n, d) <= dearest:
                n_params.append(n)
                d_tokens.append(d)
    return Runs.of(np.asarray(n_params), np.asarray(d_tokens))


def not_measured(runs: Runs, points: Points) -> Runs:
    """Those that the points do not hold already."""
    of_n = np.abs(np.log(runs.n_params[:, None] / points.n_params[None])) < SAME
    of_d = np.abs(np.log(runs.d_tokens[:, None] / points.d_tokens[None])) < SAME
    return runs.take(~(of_n & of_d).any(axis=1))


def _steps(low: float, high: float) -> np.ndarray:
    """1, 1.5, 2, 3, 5, 7, 10, … between the limits."""
    if not low <= high:
        return np.empty(0)
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    values = np.asarray([float(f"{step:g}e{decade:.0f}") for decade in decades for step in STEPS])
    return values[(values >= low * (1 - 1e-9)) & (values <= high * (1 + 1e-9))]
