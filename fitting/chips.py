"""What can an accelerator do? One row a chip in chips.yaml."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Chip:
    """One device as JAX counts devices."""

    name: str
    match: tuple[str, ...]  # words of JAX's device_kind
    peak_flops: float  # FLOP/s, dense bf16
    memory: float  # bytes
    bandwidth: float  # bytes/s
    source: str
    date: str


@functools.cache
def chips() -> tuple[Chip, ...]:
    rows = yaml.safe_load((Path(__file__).parent / "chips.yaml").read_text())
    return tuple(
        Chip(
            name=row["name"],
            match=tuple(row["match"]),
            peak_flops=float(row["peak_flops"]),
            memory=float(row["memory"]),
            bandwidth=float(row["bandwidth"]),
            source=row["source"],
            date=str(row["date"]),
        )
        for row in rows
    )


def chip_of(device_kind: str) -> Chip | None:
    """The chip that JAX calls so; None where it is unknown (a CPU)."""
    words = device_kind.lower()
    return next((chip for chip in chips() if all(word in words for word in chip.match)), None)


def peak_flops(device_kind: str) -> float | None:
    """Dense bf16 FLOP/s of one device; None where it is unknown."""
    chip = chip_of(device_kind)
    return None if chip is None else chip.peak_flops
