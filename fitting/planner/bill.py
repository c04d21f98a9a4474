"""What does the compute cost? Chip-hours, days, dollars, energy: each with the range of MFU, price and power."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.chips import Chip
from fitting.errors import InputError
from fitting.planner.quantity import MFU_SEED, POWER_SEED, PRICE_SEED, Quantity, spread
from fitting.planner.request import Request
from fitting.planner.speed import Speed

HOUR, DAY = 3600.0, 24.0  # seconds, hours
LEAST_SHARE = 1e-6  # of a variance; below it is rounding
# Power usage effectiveness: what a data centre draws over what its machines draw. Google and Meta 1.08-1.09 (2023-25);
# the industry's mean is 1.56 (Uptime Institute 2024).
OVERHEAD = 1.09


@dataclass(frozen=True)
class Rates:
    """A chip at work: how fast, how dear; values and DRAWS draws."""

    chip: Chip
    speed: Speed
    price: tuple[float, float, float] | None  # dollars per chip-hour: low, typical, high; None: unknown
    price_source: str
    counted: float = 1.0  # FLOPs as the budget counts them, over 6ND, which MFU is about

    @property
    def flops_per_hour(self) -> float:
        """Useful FLOPs of one chip, as the budget counts them."""
        return self.chip.peak_flops * self.speed.value * HOUR * self.counted

    def flops_per_hour_draws(self) -> np.ndarray:
        drawn = spread(self.speed.low, self.speed.value, self.speed.high, MFU_SEED)
        return self.chip.peak_flops * HOUR * self.counted * drawn

    def price_draws(self) -> np.ndarray:
        """Dollars per chip-hour. Raises InputError where no price is known."""
        if self.price is None:
            raise InputError(f"no price of {self.chip.name} is known; give --price")
        return spread(*self.price, PRICE_SEED)


@dataclass(frozen=True)
class Bill:
    """Of one training run; None where something is not known."""

    rates: Rates
    chip_hours: Quantity
    chips: Quantity | None  # None: neither chips nor days were given
    days: Quantity | None
    dollars: Quantity | None
    megawatt_hours: Quantity | None  # of the whole data centre
    causes: dict[str, float]  # share of the variance of ln dollars (of ln chip-hours without a price)


def rates(chip: Chip, speed: Speed, price: float | None, counted: float = 1.0) -> Rates:
    """The price that was given, else the chip's range."""
    if price is not None:
        return Rates(chip, speed, (price, price, price), "given by --price", counted)
    source = f"{chip.price_source} ({chip.date})" if chip.price else "not known"
    return Rates(chip, speed, chip.price, source, counted)


def affordable(request: Request, at: Rates) -> tuple[float, np.ndarray]:
    """FLOPs that the budget of the request buys, and draws of them. Raises InputError where a price is missing."""
    if request.budget == "flops":
        assert request.flops is not None
        return request.flops, np.full_like(at.flops_per_hour_draws(), request.flops)
    if request.budget == "dollars":
        assert request.dollars is not None
        hourly = at.price_draws()
        assert at.price is not None  # price_draws
        return (
            request.dollars / at.price[1] * at.flops_per_hour,
            request.dollars / hourly * at.flops_per_hour_draws(),
        )
    hours = request.chip_hours
    if hours is None:
        assert request.days is not None  # Request.budget
        assert request.chips is not None
        hours = request.days * DAY * request.chips
    return hours * at.flops_per_hour, hours * at.flops_per_hour_draws()


def bill(request: Request, at: Rates, flops: float, flops_draws: np.ndarray) -> Bill:
    """Of a run of so many FLOPs; what the request fixes (hours, dollars, days, chips) stays as it is."""
    hours, hours_draws = _chip_hours(request, at, flops, flops_draws)
    dollars = None
    if request.dollars is not None and request.budget == "dollars":
        dollars = Quantity.exact(request.dollars)
    elif at.price is not None:
        dollars = Quantity.of(hours * at.price[1], hours_draws * at.price_draws())
    chips, days = None, None
    if request.chips is not None:
        chips = Quantity.exact(request.chips)
        days = Quantity.of(hours / DAY / request.chips, hours_draws / DAY / request.chips)
    elif request.days is not None:
        days = Quantity.exact(request.days)
        chips = Quantity.of(hours / DAY / request.days, hours_draws / DAY / request.days)
    energy = None
    if at.chip.power is not None:
        board, node = at.chip.power
        watts = spread(board, float(np.sqrt(board * node)), node, POWER_SEED)
        energy = Quantity.of(hours * np.sqrt(board * node) * OVERHEAD / 1e6, hours_draws * watts * OVERHEAD / 1e6)
    return Bill(at, Quantity.of(hours, hours_draws), chips, days, dollars, energy, _causes(request, at, flops_draws))


def _chip_hours(request: Request, at: Rates, flops: float, flops_draws: np.ndarray) -> tuple[float, np.ndarray]:
    if request.chip_hours is not None:
        return request.chip_hours, np.full_like(flops_draws, request.chip_hours)
    if request.days is not None and request.chips is not None:
        hours = request.days * DAY * request.chips
        return hours, np.full_like(flops_draws, hours)
    if request.budget == "dollars":
        assert request.dollars is not None
        assert at.price is not None  # affordable
        return request.dollars / at.price[1], request.dollars / at.price_draws()
    return flops / at.flops_per_hour, flops_draws / at.flops_per_hour_draws()


def _causes(request: Request, at: Rates, flops_draws: np.ndarray) -> dict[str, float]:
    """Shares of the variance of the logarithm; empty where what they would explain was given."""
    if request.budget in ("dollars", "chip_hours", "days"):
        return {}
    parts = {"how much compute the target takes": _log_variance(flops_draws)}
    if request.chip_hours is None and not (request.days is not None and request.chips is not None):
        parts["MFU"] = _log_variance(at.flops_per_hour_draws())
    if at.price is not None:
        parts["price"] = _log_variance(at.price_draws())
    total = sum(parts.values())
    return {name: value / total for name, value in parts.items() if value > LEAST_SHARE * total}


def _log_variance(draws: np.ndarray) -> float:
    finite = draws[np.isfinite(draws) & (draws > 0)]
    return float(np.var(np.log(finite))) if len(finite) > 1 else 0.0
