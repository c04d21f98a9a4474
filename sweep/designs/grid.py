"""A grid: every combination of the axes, which is what commas mean on the command line."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any


def combinations(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """One dict of overrides a run, the last axis running fastest; one empty dict where there is no axis."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
