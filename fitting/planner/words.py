"""How are the plan's numbers written? With their unit and interval, by one rule for table, page and figures."""

from __future__ import annotations

import math

from fitting.planner.quantity import Quantity
from fitting.show import si

NEVER = "no limit"


def counted(quantity: Quantity) -> str:
    """70B (60B .. 80B)."""
    return _with_interval(quantity, si)


def loss(quantity: Quantity) -> str:
    """2.101 (2.052 .. 2.148)."""
    return _with_interval(quantity, lambda value: f"{value:.4f}")


def plain(quantity: Quantity) -> str:
    """11.9 (10.1 .. 15); 6,000; 1.72M."""

    def write(value: float) -> str:
        return si(value) if abs(value) >= 1e5 else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

    return _with_interval(quantity, write)


def flops(quantity: Quantity) -> str:
    """8.4e+23 (8.1e+23 .. 8.8e+23)."""
    return _with_interval(quantity, lambda value: f"{value:.3g}")


def money(quantity: Quantity) -> str:
    """$2.00M ($1.5M .. $2.6M)."""
    return _with_interval(quantity, dollars)


def dollars(value: float) -> str:
    """$1,162 or $2.00M."""
    return f"${value:,.2f}" if abs(value) < 1000 else f"${si(value)}"


def percent(quantity: Quantity) -> str:
    """+20.8% (+7% .. +96%); 1.2k times the whole."""

    def write(value: float) -> str:
        return f"{value:+.3g}%" if abs(value) < 1000 else f"{si(1 + value / 100)} times"

    return _with_interval(quantity, write, 100.0)


def share(quantity: Quantity) -> str:
    """1.8% (1.2% .. 10.6%)."""
    return _with_interval(quantity, lambda value: f"{value:.1f}%", 100.0)


def times(quantity: Quantity) -> str:
    """71.4x."""
    return _with_interval(quantity, lambda value: f"{value:.3g}x")


def _with_interval(quantity: Quantity, write, factor: float = 1.0) -> str:
    def one(value: float) -> str:
        return write(value * factor) if math.isfinite(value) else NEVER

    if quantity.certain:
        return one(quantity.value)
    low, high = one(quantity.low), one(quantity.high)
    return one(quantity.value) if low == high == one(quantity.value) else f"{one(quantity.value)} ({low} .. {high})"
