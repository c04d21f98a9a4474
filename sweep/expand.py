"""From a design and axes to the runs: points, specs, limits; and the run that is held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from sweep.config import SweepSettings, run_spec
from sweep.data.manifest import CorpusInfo
from sweep.designs.design import design_named
from sweep.designs.grid import combinations
from sweep.designs.limits import limited
from sweep.reader import Reader
from sweep.spec import RunSpec
from sweep.values import Values

Axes = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Expanded:
    """What a sweep trains."""

    specs: tuple[RunSpec, ...]
    target: RunSpec | None  # never one of the specs
    left_out: tuple[str, ...]  # a sentence for each reason
    for_a_law: bool  # whether they are meant to identify one


def expanded(config: DictConfig, settings: SweepSettings, axes: Axes, corpus: CorpusInfo) -> Expanded:
    """Raises InputError where a value is wrong, or where the limits leave nothing."""
    values = Values.of(config)

    def resolve(point: Mapping[str, Any]) -> RunSpec:
        return run_spec(values, point, corpus)

    design = design_named(settings.design)
    found = design.points(Reader(values), resolve)
    along = combinations({**settings.axes, **axes})
    specs, left_out = limited([resolve({**point, **more}) for point in found for more in along], settings.limits)
    target = resolve(settings.target) if settings.target is not None else None
    if target is not None:
        specs = [spec for spec in specs if spec.run_id != target.run_id]  # a target is never fitted
    return Expanded(tuple(specs), target, tuple(left_out), design.FOR_A_LAW)
