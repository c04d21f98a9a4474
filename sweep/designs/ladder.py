"""A ladder: sizes at multiples of so many tokens a parameter."""

from __future__ import annotations

from sweep.designs.design import Point, Resolve
from sweep.reader import Reader

FOR_A_LAW = True


def points(read: Reader, resolve: Resolve) -> list[Point]:
    ratio = read.number("design.ratio", 1e-3, 1e6)
    multiples = read.numbers("design.multiples", 1e-6, 1e6)
    return [
        Point({"model.n": n, "data.tokens_per_param": ratio * multiple})
        for n in read.numbers("design.sizes", 1.0, 1e15)
        for multiple in multiples
    ]
