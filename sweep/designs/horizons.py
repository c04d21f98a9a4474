"""Horizons: for each size several D, each a decay branch of one warm-up-stable trunk (sweep/trunks.py shares it)."""

from __future__ import annotations

from fitting.errors import InputError
from sweep.designs.design import Point, Resolve
from sweep.reader import Reader

FOR_A_LAW = True


def points(read: Reader, resolve: Resolve) -> list[Point]:
    if read.text("schedule.kind") != "wsd":
        raise InputError(
            f"design=horizons shares one trunk a size, which takes schedule=wsd; schedule.kind is "
            f"{read.text('schedule.kind')!r}. Choose schedule=wsd, or design=ladder for runs of their own"
        )
    shortest, step = read.number("design.shortest", 1e-3, 1e6), read.number("design.step", 1.001, 1000.0)
    count = read.whole("design.horizons", 1, 1000)
    return [
        Point({"model.n": n, "data.tokens_per_param": shortest * step**place})
        for n in read.numbers("design.sizes", 1.0, 1e15)
        for place in range(count)
    ]
