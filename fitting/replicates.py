"""Which runs differ in their seed alone, and how much do their losses scatter?

Their spread is the noise of one run, whatever the law: residuals of a law hold its own misfit too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fitting.points import Points

SEED = "seed"
SPEC = "spec_json"  # of a store: all that makes a run, its seeds too
# Elsewhere: columns that make a recipe, by the names of public sweeps; those that are there must be equal.
RECIPE = (
    *("width", "depth", "heads", "n_heads", "ffn_width", "experts", "shape_variant", "vocab_size", "sequence"),
    *("batch_tokens", "batch_seqs", "batch_size", "optimiser", "optimizer", "learning_rate", "lr", "weight_decay"),
    *("schedule", "warmup_steps", "precision", "corpus", "dataset", "unique_tokens"),
)
CONFIDENT = 0.95  # one tail of a 90% interval


@dataclass(frozen=True)
class SeedNoise:
    """Pooled over the cells (equal N, D and recipe): s^2 = sum (ln L - mean of its cell)^2 / degrees."""

    sd: float  # of ln L
    degrees: int  # of freedom: runs - cells
    runs: int
    cells: int

    @property
    def allowed(self) -> float:
        """The sd whose normal 90% interval is as wide as Student's is with so few degrees of freedom."""
        from scipy.stats import norm, t

        return self.sd * float(t.ppf(CONFIDENT, self.degrees) / norm.ppf(CONFIDENT))

    @property
    def sentence(self) -> str:
        return (
            f"{self.sd:.2%} between seeds ({self.runs} runs of {self.cells} (N, D), {self.degrees} "
            f"degree{'s' * (self.degrees > 1)} of freedom)"
        )


def replicates(table: Mapping[str, np.ndarray], n_params: np.ndarray, d_tokens: np.ndarray) -> np.ndarray | None:
    """A number for each row (rows,): rows with one number differ in their seed alone. None: the table has no seeds.

    A seed that comes again in its cell is the same run once more and gets a number of its own.
    """
    if SEED not in table:
        return None
    _, same, count = np.unique(np.stack([n_params, d_tokens]), axis=1, return_inverse=True, return_counts=True)
    repeated = count[same] > 1
    first: dict[tuple, int] = {}  # the row that gave a cell its number
    seen: set[tuple] = set()
    found = np.arange(len(same))
    for row in np.flatnonzero(repeated):
        key = (int(same[row]), _recipe(table, row))
        run = (*key, str(table[SEED][row]))
        if run not in seen:
            found[row] = first.setdefault(key, int(row))
        seen.add(run)
    return found


def _recipe(table: Mapping[str, np.ndarray], row: int) -> str:
    if SPEC in table:
        return re.sub(r'"seed": ?\d+', "", str(table[SPEC][row]))
    return " ".join(str(table[name][row]) for name in RECIPE if name in table)


def seed_noise(points: Points) -> SeedNoise | None:
    """None where no two points differ in their seed alone."""
    if points.replicate is None:
        return None
    _, cell, count = np.unique(points.replicate, return_inverse=True, return_counts=True)
    degrees = int(np.sum(count - 1))
    if not degrees:
        return None
    log_loss = np.log(points.loss)
    mean = np.bincount(cell, log_loss) / count
    repeated = count > 1
    squares = float(np.sum((log_loss - mean[cell]) ** 2))
    return SeedNoise(float(np.sqrt(squares / degrees)), degrees, int(count[repeated].sum()), int(repeated.sum()))
