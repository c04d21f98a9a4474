"""A grid: every combination of the axes, which is what commas mean on the command line."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from sweep.designs.design import Point, Resolve
from sweep.reader import Reader

FOR_A_LAW = True


def points(read: Reader, resolve: Resolve) -> list[Point]:
    """One run as it is configured: the axes do the rest."""
    return [Point({})]


def combinations(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """One dict of overrides a run, the last axis running fastest; one empty dict where there is no axis."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
