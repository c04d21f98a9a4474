"""The published constants, each set with its source; the range over all of them stands in for an interval."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fitting.errors import InputError
from fitting.planner.belief import DRAWS, Belief, Provenance
from fitting.planner.blend import Blend
from fitting.planner.surface import Surface

# Largest 6ND among the digitised points of Hoffmann et al. 2022; Muennighoff et al.'s largest is 0.93e22.
LARGEST_FLOPS = 1.3e22
SMALLEST_FLOPS = 1e18  # about the smallest of them
EQUATION = "L(N, D) = E + A/N^alpha + B/D^beta"


@dataclass(frozen=True)
class Published(Belief):
    """One named set; `surfaces` holds all of them, for the range."""

    name: str
    surfaces: Mapping[str, Surface]
    source: str
    data: str

    @property
    def provenance(self) -> Provenance:
        return Provenance(
            name=self.name,
            source=self.source,
            equation=EQUATION,
            status="published",
            sentence=f"constants of another recipe and another text ({self.data}): a loss is comparable only to theirs",
            n_definition="n_params",
            band=f"range over {len(self.surfaces)} published sets, no confidence interval",
            largest_flops=LARGEST_FLOPS,
            smallest_flops=SMALLEST_FLOPS,
        )

    def blend(self, flops: float) -> Blend:
        return Blend((self.surfaces[self.name],), (1.0,))

    def draws(self, flops: float) -> Surface:
        """Every set equally often."""
        table = np.asarray([[s.E, s.A, s.B, s.alpha, s.beta] for s in self.surfaces.values()])
        return Surface(*table[np.arange(DRAWS) % len(table)].T)

    def loss_variance(self, n_params: float, d_tokens: float) -> Mapping[str, float]:
        return {"choice of published constants": float(np.var(np.log(self._losses(n_params, d_tokens))))}

    def loss_band(self, n_params: float, d_tokens: float) -> tuple[float, float, float]:
        losses = self._losses(n_params, d_tokens)
        return float(self.surfaces[self.name].loss(n_params, d_tokens)), float(losses.min()), float(losses.max())

    def wanted(self, loss: float, n_params: float, d_tokens: float, shocks: np.ndarray) -> np.ndarray:
        return np.full(DRAWS, loss)  # the sets are all that is known: no miss of their own

    def _losses(self, n_params: float, d_tokens: float) -> np.ndarray:
        return np.asarray([surface.loss(n_params, d_tokens) for surface in self.surfaces.values()])


def published(name: str) -> Published:
    """The set of this name. Raises InputError with the names that exist."""
    rows, asked, name = _rows(), name, name.lower()
    if name not in rows:
        raise InputError(
            f"--law-constants is {asked!r}; choose one of {', '.join(rows)} (the first three are of Chinchilla's runs; "
            f"besiroglu is the refit that converged)"
        )
    surfaces = {key: Surface(**row["constants"]) for key, row in rows.items()}
    return Published(name, surfaces, rows[name]["source"], rows[name]["data"])


@functools.cache
def _rows() -> dict[str, dict]:
    import yaml

    rows = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text())
    return {row["name"]: row for row in rows}
