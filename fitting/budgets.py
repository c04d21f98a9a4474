"""Which runs share a compute budget, and which clusters does a resample draw?"""

from __future__ import annotations

import numpy as np

from fitting.points import LARGEST_FLOPS, check_column

TOLERANCE = 0.1  # relative; runs of one budget differ at most so much in compute (Porian et al. 2024)


def budgets(flops: np.ndarray, tolerance: float, source: str) -> list[np.ndarray]:
    """Rows of each budget: sorted by compute, a new budget starts where C exceeds its smallest C by `tolerance`."""
    check_column("flops", flops, LARGEST_FLOPS, source)
    order = np.argsort(flops, kind="stable")
    groups: list[list[int]] = []
    for row in order:
        if groups and flops[row] <= flops[groups[-1][0]] * (1 + tolerance):
            groups[-1].append(int(row))
        else:
            groups.append([int(row)])
    return [np.array(group) for group in groups]


def cluster_counts(cluster: tuple[str, ...], resamples: int, rng: np.random.RandomState) -> np.ndarray:
    """How often each row occurs where whole clusters are drawn with replacement, (resamples, rows)."""
    labels, member = np.unique(np.asarray(cluster), return_inverse=True)
    drawn = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), resamples)
    return drawn.astype(float)[:, member]
