"""The same runs under several seeds, of initial values and of the order of the text: the noise of one run."""

from __future__ import annotations

from sweep.designs.design import Point, Resolve
from sweep.reader import Reader

FOR_A_LAW = False


def points(read: Reader, resolve: Resolve) -> list[Point]:
    first, first_order = read.whole("seed", 0, 2**31 - 1), read.whole("data.seed", 0, 2**31 - 1)
    ratio = read.number("design.ratio", 1e-3, 1e6)
    return [
        Point({"model.n": n, "data.tokens_per_param": ratio, "seed": first + place, "data.seed": first_order + place})
        for n in read.numbers("design.sizes", 1.0, 1e15)
        for place in range(read.whole("design.seeds", 2, 10_000))
    ]
