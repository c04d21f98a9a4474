"""One dial: which depth, width, heads and MLP width make a good decoder of N non-embedding parameters?

Width and depth grow together: width/depth = 32 at 1e6 parameters, rising as N^0.15 to 128 at 1e10, which passes near
GPT-2 (768 x 12), Llama-7B (4096 x 32) and GPT-3 (12288 x 96); loss is flat in this ratio over a wide range (Kaplan et
al. 2020, figure 5). The MLP width then takes up what the multiples of the head width leave over, staying near 4 widths.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from models.architecture import Architecture
from models.errors import ArchitectureError

SMALLEST_N, LARGEST_N = 2_000, 2_000_000_000_000  # below, no block fits; above, no public dense run to check against
MIN_DEPTH = 2
COUNTS = ("non_embedding", "total", "flops")  # of ParameterCount, that a size can be given in
COUNT_ROUNDS = 8  # of asking again for a count that the shape rule does not know
MLP_RATIO = 4.0  # width of a plain MLP / width (Vaswani et al. 2017); a gated one has 2/3 of it (Shazeer 2020)


def architecture_near(n: int, vocab_size: int, **choices: Any) -> Architecture:
    """The decoder whose non-embedding count is nearest n among well-shaped ones.

    Within 2% above 1e4; above 1e5 with 2 or 4 queries a key, or with 8 experts. More of either ask for more.

    `choices` are the fields of Architecture that are not sizes: mlp, tied, qk_norm, queries_per_key, experts, ….
    """
    if not SMALLEST_N <= n <= LARGEST_N:
        raise ArchitectureError(
            f"model.n is {n:g} parameters; allowed is {SMALLEST_N:g} to {LARGEST_N:g} (non-embedding). "
            f"Choose a number in this range, such as model.n=1e6"
        )
    alone: dict[str, Any] = {**choices, "queries_per_key": 1}
    probe = Architecture(2, 1, 1, 1, vocab_size, **alone)
    together = max(1, int(choices.get("queries_per_key", 1)))
    ratio = MLP_RATIO * 2 / probe.mlp_matrices  # of one expert, so that all kinds of MLP have the same count
    finest = 4 if probe.mlp_matrices * probe.experts == 2 else 2  # a column more is more parameters
    best, best_cost = None, math.inf
    # Experts beyond the first add parameters, not depth or width: the shape is that of the dense part.
    dense = n * (4 + 2 * MLP_RATIO) / (4 + 2 * MLP_RATIO * probe.experts)
    ideal_depth = _ideal_depth(dense)
    for depth in range(max(MIN_DEPTH, math.floor(ideal_depth * 0.7)), math.ceil(ideal_depth * 1.4) + 2):
        ideal_width = math.sqrt(dense / (depth * (4 + 2 * MLP_RATIO)))
        step = _head_width(ideal_width) * together
        for heads in {max(1, math.floor(ideal_width / step)), math.ceil(ideal_width / step)}:
            width = heads * step
            empty = Architecture(width, depth, heads * together, 1, vocab_size, **choices)
            left = n / depth - empty.attention_parameters - empty.router_parameters
            multiple = 64 if width >= 1024 else 16 if width >= 128 else finest
            exact = left / (probe.mlp_matrices * width * probe.experts)
            mlp_width = max(multiple, round(exact / multiple) * multiple)
            candidate = dataclasses.replace(empty, mlp_width=mlp_width)
            cost = _shape_cost(candidate, n, dense, ratio)
            if cost < best_cost:
                best, best_cost = candidate, cost
    assert best is not None  # the range of depths is never empty
    return best


def architecture_counting(n: float, vocab_size: int, count: str, context: int, **choices: Any) -> Architecture:
    """The decoder whose count of this kind (one of COUNTS) is near n: asks for ever better non-embedding counts."""
    if count not in COUNTS:
        raise ArchitectureError(f"--count is {count!r}; allowed are {', '.join(COUNTS)}")
    found = architecture_near(round(n) if math.isfinite(n) else 0, vocab_size, **choices)
    if count == "non_embedding":
        return found
    asked = n
    for _ in range(COUNT_ROUNDS):
        asked = max(SMALLEST_N, asked * n / getattr(found.count(context), count))
        found = architecture_near(round(asked), vocab_size, **choices)
    return found


def _aspect(n: float) -> float:
    """Width per layer that the rule above asks for."""
    return min(128.0, 32.0 * (n / 1e6) ** 0.15)


def _ideal_depth(n: float) -> float:
    return (n / ((4 + 2 * MLP_RATIO) * _aspect(n) ** 2)) ** (1 / 3)


def _head_width(width: float) -> int:
    """16 below width 56, 32 to 448, 64 to 1,800, then 128: what attention kernels are built for, from 64 upwards."""
    return 16 if width < 56 else 32 if width < 448 else 64 if width < 1800 else 128


def _shape_cost(candidate: Architecture, n: int, dense: float, mlp_ratio: float) -> float:
    """Squared log deviations: count first, then MLP ratio, then aspect."""
    count = math.log(candidate.count(context=1).non_embedding / n)
    ratio = math.log(candidate.mlp_width / (mlp_ratio * candidate.width))
    aspect = math.log(candidate.width / candidate.depth / _aspect(dense))
    return (count / 0.01) ** 2 + (ratio / 0.3) ** 2 + (aspect / 0.5) ** 2
