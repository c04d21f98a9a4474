"""What can an accelerator do, and what does it cost? One row a chip in chips.yaml, or in a file of the user's."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fitting.errors import InputError

# Any accelerator of the last ten years and the next; a figure outside has another unit.
PLAUSIBLE = {
    "peak_flops": (1e10, 1e18, "FLOP/s"),
    "memory": (1e8, 1e14, "bytes"),
    "bandwidth": (1e9, 1e16, "bytes/s"),
}


@dataclass(frozen=True)
class Chip:
    """One device as JAX counts devices."""

    name: str
    match: tuple[str, ...]  # words of JAX's device_kind
    peak_flops: float  # FLOP/s, dense bf16
    memory: float  # bytes
    bandwidth: float  # bytes/s
    source: str
    date: str  # of the figures
    power: tuple[float, float] | None = None  # watts: the board, its share of the node's maximum; None: not published
    price: tuple[float, float, float] | None = None  # dollars per chip-hour: low, typical, high
    price_source: str = ""

    def __post_init__(self) -> None:
        figures = {"peak_flops": self.peak_flops, "memory": self.memory, "bandwidth": self.bandwidth}
        for name, value in figures.items():
            least, most, unit = PLAUSIBLE[name]
            if not least <= value <= most:
                raise InputError(f"chip {self.name}: {name} is {value:g}; allowed is {least:g} to {most:g} {unit}")
        for name, values in (("power", self.power), ("price", self.price)):
            if values is not None and (min(values) <= 0 or list(values) != sorted(values)):
                raise InputError(f"chip {self.name}: {name} is {list(values)}; allowed are rising numbers above 0")


@functools.cache
def chips() -> tuple[Chip, ...]:
    """The chips that are known here."""
    return read_chips(Path(__file__).parent / "chips.yaml")


def read_chips(path: Path) -> tuple[Chip, ...]:
    """The rows of a file. Raises InputError where it cannot be read as such."""
    try:
        rows = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give YAML with one chip a row") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: no list of chips; write - {{name: …, peak_flops: …, memory: …, bandwidth: …}}")
    return tuple(_chip(row, path) for row in rows)


def chip_named(name: str, more: tuple[Chip, ...] = ()) -> Chip:
    """The chip of this name, the user's own first. Raises InputError with the names that exist."""
    known = {chip.name: chip for chip in (*chips(), *more)}
    if name.lower() not in known:
        close = difflib.get_close_matches(name.lower(), known, n=2)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise InputError(
            f"--chip is {name!r}; {hint}known are {', '.join(sorted(known))}. Describe another one in a --chips-file"
        )
    return known[name.lower()]


def chip_of(device_kind: str) -> Chip | None:
    """The chip that JAX calls so; None where it is unknown (a CPU)."""
    words = device_kind.lower()
    return next((chip for chip in chips() if all(word in words for word in chip.match)), None)


def peak_flops(device_kind: str) -> float | None:
    """Dense bf16 FLOP/s of one device; None where it is unknown."""
    chip = chip_of(device_kind)
    return None if chip is None else chip.peak_flops


def _chip(row: dict[str, Any], path: Path) -> Chip:
    allowed = {field.name for field in dataclasses.fields(Chip)}
    needed = {"name", "peak_flops", "memory", "bandwidth"}
    if not needed <= set(row) <= allowed:
        odd = sorted(needed - set(row)) or sorted(set(row) - allowed)
        raise InputError(
            f"{path}: a chip with {', '.join(sorted(row))}; needed are {', '.join(sorted(needed))}, allowed are "
            f"{', '.join(sorted(allowed))}. Look at {', '.join(odd)}"
        )
    try:
        return Chip(
            name=str(row["name"]).lower(),
            match=tuple(row.get("match", (str(row["name"]).lower(),))),
            peak_flops=float(row["peak_flops"]),
            memory=float(row["memory"]),
            bandwidth=float(row["bandwidth"]),
            source=str(row.get("source", path)),
            date=str(row.get("date", "not said")),
            power=_numbers(row.get("power"), 2),
            price=_numbers(row.get("price"), 3),
            price_source=str(row.get("price_source", path)),
        )
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: chip {row['name']!r}: {error}; figures are numbers in SI units") from None


def _numbers(values: Any, count: int) -> Any:
    """A tuple of so many; one number stands for all of them."""
    if values is None:
        return None
    listed = values if isinstance(values, list) else [values] * count
    if len(listed) != count:
        raise ValueError(f"{listed} are {len(listed)} numbers; {count} are needed")
    return tuple(float(value) for value in listed)
