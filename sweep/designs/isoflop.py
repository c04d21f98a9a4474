"""IsoFLOP slices: at each budget C, sizes around a guessed optimum, each on D = C / (exact FLOPs of its token).

Hoffmann et al. 2022, approach 2 (arXiv:2203.15556). The guess: 6 N (guess N) = C.
"""

from __future__ import annotations

from fitting.errors import InputError
from fitting.planner.surface import FLOPS_PER_PARAMETER_TOKEN
from sweep.designs.design import Point, Resolve
from sweep.reader import Reader

FEWEST_SIZES = 3  # a parabola needs three

FOR_A_LAW = True


def points(read: Reader, resolve: Resolve) -> list[Point]:
    budgets = read.numbers("design.budgets", 1e6, 1e30)
    sizes = read.whole("design.sizes", FEWEST_SIZES, 1000)
    step = read.number("design.step", 1.001, 1000.0)
    guess = read.number("design.guess", 1e-3, 1e6)
    found = []
    for budget in budgets:
        middle = (budget / (FLOPS_PER_PARAMETER_TOKEN * guess)) ** 0.5
        for place in range(sizes):
            n = round(middle * step ** (place - (sizes - 1) / 2))
            try:
                spec = resolve({"model.n": n, "data.tokens": 1.0})  # for its shape; any more could outgrow the corpus
            except InputError as error:
                raise InputError(f"design.budgets {budget:g} with design.guess {guess:g}: {error}") from None
            tokens = budget / spec.architecture.flops_per_token(spec.data.sequence)
            found.append(Point({"model.n": n, "data.tokens": max(1.0, tokens)}))
    return found
