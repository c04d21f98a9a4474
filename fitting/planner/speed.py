"""Which part of a chip's peak will the training reach? A range from public runs near this N, or from the user's own."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

from fitting.chips import Chip
from fitting.planner.own_runs import OwnRuns

NEAREST = 5  # public runs nearest in ln N whose range is shown
# Stops, restarts and evaluation, which a benchmark of some steps has not: Llama 3.1 405B trained at 38-43% a step and
# reached 34.5% over all its hours (arXiv:2407.21783, table 4, against the model card).
BENCH_TO_RUN = 0.85
# Every range is at least so wide around its middle: the eight A100 runs of two teams already differ so much.
LEAST_FACTOR = 1.25
SMALLEST_PUBLIC = 0.1e9  # parameters; below, nobody published, and launch costs rule
SMALL_RANGE = (0.01, 0.05, 0.20)  # assumption: tiny models on large chips reach 1-20%
OWN_REACH = 10.0  # times the largest own N that its speed is taken for; small runs cannot fill a chip (assumption)
CUSTOM_RANGE = (0.20, 0.35, 0.50)  # assumption: no public run on this chip nor on one of its make


@dataclass(frozen=True)
class Speed:
    """MFU: a part of the dense bf16 peak, useful FLOPs counted as 6ND."""

    low: float
    value: float
    high: float
    source: str


@dataclass(frozen=True)
class PublicRun:
    """One row of mfu.yaml."""

    run: str
    n_params: float
    chip: str
    mfu: float
    kind: str
    source: str

    @property
    def realised(self) -> float:
        """Over all hours; a benchmark's figure with its stops taken off."""
        return self.mfu * (BENCH_TO_RUN if self.kind == "bench" else 1.0)


def speed_of(chip: Chip, n_params: float, given: float | None = None, own: OwnRuns | None = None) -> Speed:
    """What was given; else what the user's own runs reached on this chip; else public runs on it, or on its make."""
    if given is not None:
        return Speed(given, given, given, "given by --mfu")
    if own is not None and own.mfu and chip.name in own.mfu:
        low, value, high, largest = own.mfu[chip.name]
        if n_params <= OWN_REACH * largest:
            widened = (min(low, value / LEAST_FACTOR), value, min(max(high, value * LEAST_FACTOR), 1.0))
            return Speed(*widened, f"the largest of the own runs on {chip.name}")
    if n_params < SMALLEST_PUBLIC:
        return Speed(
            *SMALL_RANGE, f"assumption: no public run below {SMALLEST_PUBLIC:.0e} parameters; measure your own"
        )
    return public_speed(chip, n_params, public_runs())


def public_speed(chip: Chip, n_params: float, runs: tuple[PublicRun, ...]) -> Speed:
    """Range and median of the NEAREST runs on this chip; else on chips of the same make."""
    same = [run for run in runs if _kind(run.chip) == _kind(chip.name)]
    where = f"on {_kind(chip.name)}"
    if not same:
        kin = [run for run in runs if _make(run.chip) == _make(chip.name)]
        if not kin:
            return Speed(*CUSTOM_RANGE, f"assumption: no public run on {chip.name}; give --mfu")
        same, where = kin, f"none on {chip.name}, so on {_make(chip.name)} chips"
    near = sorted(same, key=lambda run: abs(math.log(run.n_params / n_params)))[:NEAREST]
    rates = sorted(run.realised for run in near)
    middle = rates[len(rates) // 2] if len(rates) % 2 else (rates[len(rates) // 2 - 1] + rates[len(rates) // 2]) / 2
    return Speed(
        low=min(rates[0], middle / LEAST_FACTOR),
        value=middle,
        high=min(max(rates[-1], middle * LEAST_FACTOR), 1.0),
        source=f"public runs {where}: {', '.join(dict.fromkeys(run.run for run in near))}",
    )


@functools.cache
def public_runs() -> tuple[PublicRun, ...]:
    """The rows of mfu.yaml."""
    import yaml

    rows = yaml.safe_load((Path(__file__).parent / "mfu.yaml").read_text())
    return tuple(
        PublicRun(row["run"], float(row["n_params"]), row["chip"], float(row["mfu"]), row["kind"], row["source"])
        for row in rows
    )


def _kind(chip: str) -> str:
    """Chips of one compute part: a100-40gb and a100-80gb; h100 and h200 (more memory on the same die)."""
    return {"h200": "h100"}.get(chip, chip if chip.startswith("tpu") else chip.split("-")[0])


def _make(chip: str) -> str:
    return "TPU" if chip.startswith("tpu") else "NVIDIA" if chip[:2] in ("a1", "h1", "h2", "b2", "gb") else chip
