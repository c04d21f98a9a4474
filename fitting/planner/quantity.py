"""A number of the plan with its interval, and the draws that the interval is taken from."""

from __future__ import annotations

import functools
import statistics
from dataclasses import dataclass

import numpy as np

from fitting.planner.belief import DRAWS, NORMAL_90, TAILS

MFU_SEED, PRICE_SEED, POWER_SEED, LOSS_SEED = 1, 2, 3, 4  # independent of each other and of the laws' draws


@dataclass(frozen=True)
class Quantity:
    """low and high enclose 90%; both equal the value where it was given or is exact."""

    value: float
    low: float
    high: float  # infinite: in more than a tail of the draws there is no such run

    @classmethod
    def exact(cls, value: float) -> Quantity:
        return cls(float(value), float(value), float(value))

    @classmethod
    def of(cls, value: float, draws: np.ndarray) -> Quantity:
        """Draws that are not a number are taken for infinite: what was asked for cannot be had at any price."""
        if np.ptp(draws) == 0:
            return cls(float(value), min(float(value), float(draws[0])), max(float(value), float(draws[0])))
        settled = np.where(np.isnan(draws), np.inf, draws)
        low, high = np.quantile(settled, TAILS, method="inverted_cdf")
        return cls(float(value), min(float(low), float(value)), max(float(high), float(value)))

    @property
    def certain(self) -> bool:
        return self.low == self.high

    def times(self, factor: float) -> Quantity:
        return Quantity(self.value * factor, self.low * factor, self.high * factor)


def spread(low: float, value: float, high: float, seed: int) -> np.ndarray:
    """DRAWS factors of a range given by its 5%, its middle and its 95%: two halves of log-normal distributions."""
    z = shocks(seed)
    down, up = np.log(value / low) / NORMAL_90, np.log(high / value) / NORMAL_90
    return value * np.exp(np.where(z < 0, down, up) * z)


@functools.cache
def shocks(seed: int) -> np.ndarray:
    """DRAWS standard normal numbers, one from each of as many equally likely parts, in an order of the seed's."""
    places = [statistics.NormalDist().inv_cdf((place + 0.5) / DRAWS) for place in range(DRAWS)]
    return np.random.RandomState(seed).permutation(places)
