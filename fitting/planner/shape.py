"""Which model would be built at N? Asked of the model family that is installed, through an entry point.

This room imports no other. What another room lends it is named in pyproject.toml, group "isoflop.planner":
`architecture(n, vocab_size, count, context)` gives an object with the methods below, `page(plan)` gives HTML.
"""

from __future__ import annotations

import functools
import importlib.metadata
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fitting.planner.token_cost import Counted

GROUP = "isoflop.planner"
# Published sets and foreign points count all parameters; our own records name the count that was fitted.
COUNTS = {"n_params_non_embedding": "non_embedding", "n_params_flops": "flops", "n_params": "total"}
DEFAULT_VOCAB = 32_768  # entries; assumption, a common size (Llama 2: 32,000)
SMALLEST, LARGEST = 1e5, 1e12  # N of the table of exact counts
FURTHEST_SHAPE = 0.1  # of ln N, between what was asked for and what is built
TABLE_SIZES = 10  # a decade
DEFAULT_CONTEXT = 4096  # tokens; assumption (Llama 2's)


class Counts(Protocol):
    """Parameters by convention."""

    @property
    def total(self) -> int: ...

    @property
    def non_embedding(self) -> int: ...

    @property
    def flops(self) -> float: ...


class Architecture(Protocol):
    """What the planner reads of a model."""

    @property
    def width(self) -> int: ...

    @property
    def depth(self) -> int: ...

    @property
    def heads(self) -> int: ...

    @property
    def mlp_width(self) -> int: ...

    def count(self, context: int) -> Counts: ...

    def flops_per_token(self, context: int) -> float: ...


@dataclass(frozen=True)
class Shape:
    """The model at N."""

    width: int
    depth: int
    heads: int
    mlp_width: int
    vocab_size: int
    context: int  # tokens
    total: float  # parameters, embeddings too
    non_embedding: float  # parameters
    flops: float  # parameters, as exact forward FLOPs per token / 2
    flops_per_token: float  # training, attention and head included


def lent(name: str) -> Callable[..., Any] | None:
    """What another room lends under this name; None where it is not installed."""
    return next((entry.load() for entry in importlib.metadata.entry_points(group=GROUP, name=name)), None)


def shape_of(n_params: float, n_definition: str, vocab_size: int, context: int) -> Shape | None:
    """The shape whose count (in the law's own definition of N) is nearest n; None where the family has none."""
    build = _builder()
    if build is None:
        return None
    try:
        built: Architecture = build(n_params, vocab_size, count=COUNTS.get(n_definition, "total"), context=context)
    except ValueError:
        return None  # smaller or larger than the family goes
    count = built.count(context)
    if abs(math.log(getattr(count, COUNTS.get(n_definition, "total")) / n_params)) > FURTHEST_SHAPE:
        return None  # such as fewer parameters than the embedding alone has
    return Shape(
        width=built.width,
        depth=built.depth,
        heads=built.heads,
        mlp_width=built.mlp_width,
        vocab_size=vocab_size,
        context=context,
        total=float(count.total),
        non_embedding=float(count.non_embedding),
        flops=float(count.flops),
        flops_per_token=built.flops_per_token(context),
    )


def counted_cost(n_definition: str, vocab_size: int, context: int) -> Counted | None:
    """The exact FLOPs of a token from the smallest to the largest N; None where no family is installed."""
    sizes = np.geomspace(SMALLEST, LARGEST, round(TABLE_SIZES * np.log10(LARGEST / SMALLEST)) + 1)
    # Asked for by the count that the family's rule is written in: any other one takes several rounds.
    built = [shape_of(float(n), "n_params_non_embedding", vocab_size, context) for n in sizes]
    shapes = [shape for shape in built if shape is not None]
    if not shapes:
        return None
    counts = np.asarray([getattr(shape, COUNTS.get(n_definition, "total")) for shape in shapes])
    return Counted.of(counts, np.asarray([shape.flops_per_token for shape in shapes]))


@functools.cache
def _builder() -> Callable[..., Any] | None:
    return lent("architecture")
