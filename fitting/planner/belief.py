"""What is believed about the loss? A point law, draws of it, and how far a run may lie off it."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fitting.planner.blend import Blend
from fitting.planner.surface import Surface

DRAWS = 2000  # 5% and 95% quantiles to 3% of the half-width
LEVEL = 0.90
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
SEED = 0
FURTHEST_DECADES = 4.0  # of extrapolation that laws are fitted for; beyond, a loud caveat
NORMAL_90 = 1.6448536269514722  # 95% quantile of the standard normal distribution


@dataclass(frozen=True)
class Provenance:
    """Where a law comes from and what it is worth: printed with every plan."""

    name: str  # as the command line calls it
    source: str
    equation: str
    status: str
    sentence: str
    n_definition: str  # which count of parameters N is
    band: str  # what the low and high of an answer are
    largest_flops: float  # 6ND of the largest run behind the law
    smallest_flops: float  # and of the smallest
    bytes_per_token: float | None = None  # of the held-out text; None: unknown, no bits per byte


class Belief(abc.ABC):
    """A law with its uncertainty, for targets of any compute."""

    @property
    @abc.abstractmethod
    def provenance(self) -> Provenance: ...

    @abc.abstractmethod
    def blend(self, flops: float) -> Blend:
        """The point law that serves targets of this compute."""

    @abc.abstractmethod
    def draws(self, flops: float) -> Surface:
        """DRAWS laws, each as likely as the others, for targets of this compute; arrays (DRAWS,)."""

    @abc.abstractmethod
    def loss_variance(self, n_params: float, d_tokens: float) -> Mapping[str, float]:
        """Variance of ln L of one run, by its cause."""

    @abc.abstractmethod
    def loss_band(self, n_params: float, d_tokens: float) -> tuple[float, float, float]:
        """L of one run, with low and high."""

    @abc.abstractmethod
    def wanted(self, loss: float, n_params: float, d_tokens: float, shocks: np.ndarray) -> np.ndarray:
        """What each drawn law must predict for a run near (N, D) to reach the loss, its own miss allowed for.

        shocks: standard normal numbers, (DRAWS,).
        """

    def decades_beyond(self, flops: float) -> float:
        """log10 of the compute beyond the largest run, at least 0."""
        return max(float(np.log10(flops / self.provenance.largest_flops)), 0.0)


def at_its_own_level(
    law: Belief, draws: Surface, loss: float, n_params: float, d_tokens: float, shocks: np.ndarray
) -> np.ndarray:
    """Losses for `wanted` where the band says how far off the run may be: levels from it, slopes from the draws.

    A drawn law's own level at (N, D) is where it stands for the point law's; the miss moves what is asked of it.
    """
    value, low, high = law.loss_band(n_params, d_tokens)
    miss = np.where(shocks < 0, np.log(value / low), np.log(high / value)) / NORMAL_90 * shocks
    return draws.loss(n_params, d_tokens) * (loss / value) * np.exp(-miss)
