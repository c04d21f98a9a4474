"""The runs of a file, such as `python -m fitting next --out` writes: n_params and d_tokens, a run a row."""

from __future__ import annotations

from fitting.errors import InputError
from fitting.read import read_design
from sweep.designs.design import Point, Resolve
from sweep.reader import Reader

FOR_A_LAW = True


def points(read: Reader, resolve: Resolve) -> list[Point]:
    file = read.optional_text("design.file")
    if file is None:
        raise InputError("design=next needs design.file: a CSV with n_params and d_tokens, as fitting next --out gives")
    n_params, d_tokens, _ = read_design([file])
    return [
        Point({"model.n": round(n), "data.tokens": float(d)})
        for n, d in zip(n_params.tolist(), d_tokens.tolist(), strict=True)
    ]
