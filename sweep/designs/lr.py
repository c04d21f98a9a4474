"""Learning rate x N at one D/N: the best rate of each size, to see whether one rate serves all."""

from __future__ import annotations

from sweep.designs.design import Point, Resolve
from sweep.reader import Reader

FOR_A_LAW = False


def points(read: Reader, resolve: Resolve) -> list[Point]:
    rate = read.number("optimiser.learning_rate", 1e-12, 1e6)
    ratio = read.number("design.ratio", 1e-3, 1e6)
    multiples = read.numbers("design.multiples", 1e-6, 1e6)
    return [
        Point({"model.n": n, "data.tokens_per_param": ratio, "optimiser.learning_rate": rate * multiple})
        for n in read.numbers("design.sizes", 1.0, 1e15)
        for multiple in multiples
    ]
