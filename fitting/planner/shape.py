"""Which model would be built at N? Asked of the model family that is installed, through an entry point.

This room imports no other. What another room lends it is named in pyproject.toml, group "isoflop.planner":
`architecture(n, vocab_size, count, context)` gives an object with the methods below, `page(plan)` gives HTML.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fitting.planner.token_cost import Counted

GROUP = "isoflop.planner"
# Published sets and foreign points count all parameters; our own records name the count that was fitted.
COUNTS = {"n_params_non_embedding": "non_embedding", "n_params_flops": "flops", "n_params": "total"}
DEFAULT_VOCAB = 32_768  # entries; assumption, a common size (Llama 2: 32,000)
SMALLEST, LARGEST = 1e5, 1e12  # N of the table of exact counts
SMALLEST_WIDTH = 128  # columns of an embedding worth the name
DEFAULT_CONTEXT = 4096  # tokens; assumption (Llama 2's)


class Counts(Protocol):
    """Parameters by convention."""

    @property
    def total(self) -> int: ...

    @property
    def non_embedding(self) -> int: ...


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
    return Shape(
        width=built.width,
        depth=built.depth,
        heads=built.heads,
        mlp_width=built.mlp_width,
        vocab_size=vocab_size,
        context=context,
        total=float(count.total),
        non_embedding=float(count.non_embedding),
        flops_per_token=built.flops_per_token(context),
    )


def counted_cost(n_definition: str, vocab_size: int, context: int) -> Counted | None:
    """The exact FLOPs of a token from the smallest to the largest N; None where no family is installed."""
    # With embeddings counted, a model of fewer parameters would be nearly all embedding.
    smallest = max(SMALLEST, SMALLEST_WIDTH * vocab_size) if n_definition == "n_params" else SMALLEST
    if shape_of(smallest, n_definition, vocab_size, context) is None:
        return None

    def per_token(n_params: float) -> float:
        shape = shape_of(n_params, n_definition, vocab_size, context)
        assert shape is not None  # between sizes that are built
        return shape.flops_per_token

    return Counted.of(per_token, smallest, LARGEST)


@functools.cache
def _builder() -> Callable[..., Any] | None:
    return lent("architecture")
