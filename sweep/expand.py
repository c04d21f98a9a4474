"""From a design and axes to the runs: points, specs, limits; and the runs that are held out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from fitting.errors import InputError
from results.record import CHECK, FIT, TARGET
from sweep.config import SweepSettings, run_spec
from sweep.data.config import TooLittleText
from sweep.data.manifest import CorpusInfo
from sweep.designs.design import Point, Resolve, design_named
from sweep.designs.grid import combinations
from sweep.designs.limits import RoomFor, limited
from sweep.reader import Reader
from sweep.spec import RunSpec
from sweep.values import Values

Axes = Mapping[str, Sequence[Any]]
GRID = "grid"  # the design that is told its values
# Settings and groups of them that all runs share: one store, one corpus, one place.
SHARED = ("name", "store", "report", "dry_run", "design", "launcher", "mesh", "evaluation", "data.source", "data.path")
SHARED += ("data.held_out_path", "data.tokenizer", "data.vocab_size", "data.separator", "data.column", "data.split")
SHARED += ("data.domain_column", "data.synthetic_tokens", "data.synthetic_seed")


@dataclass(frozen=True)
class Expanded:
    """What a sweep trains."""

    specs: tuple[RunSpec, ...]
    checks: frozenset[str]  # run_ids of those that check the recipe: they never enter a law
    targets: tuple[RunSpec, ...]  # never among the specs
    left_out: tuple[str, ...]  # a sentence for each reason
    for_a_law: bool  # whether they are meant to identify one

    @property
    def fitted(self) -> tuple[RunSpec, ...]:
        """The points of a law."""
        return tuple(spec for spec in self.specs if spec.run_id not in self.checks)

    def role_of(self, spec: RunSpec) -> str:
        """As it stands in the record."""
        if spec.run_id in self.checks:
            return CHECK
        return TARGET if spec in self.targets else FIT


def expanded(
    config: DictConfig, settings: SweepSettings, axes: Axes, corpus: CorpusInfo, room_for: RoomFor | None = None
) -> Expanded:
    """Raises InputError where a value is wrong, or where the limits leave nothing; room_for: see limited."""
    values = Values.of(config)

    def resolve(point: Mapping[str, Any]) -> RunSpec:
        return run_spec(values, point, corpus)

    design = design_named(settings.design)
    found = design.points(Reader(values), resolve)
    both = {**settings.axes, **axes}
    _require_settings_of_runs([*both, *(key for point in found for key in point.overrides)])
    along = combinations(both)
    resolved, too_long = _resolved(found, along, resolve, settings.design)
    fitted = {spec.run_id for spec, check in resolved if not check}  # a run that is both is a point of the law
    checks = {spec.run_id for spec, check in resolved if check} - fitted
    specs, left_out = limited([spec for spec, _ in resolved], settings.limits, room_for)
    if too_long:
        asks = "1 run of the design asks" if len(too_long) == 1 else f"{len(too_long)} runs of the design ask"
        left_out.append(f"{asks} for more text than there is: left out ({too_long[0]})")
    targets = {target.run_id: target for target in map(resolve, settings.targets)}
    specs = [spec for spec in specs if spec.run_id not in targets]  # a target is never fitted
    kept = frozenset(checks.intersection(spec.run_id for spec in specs))
    return Expanded(tuple(specs), kept, tuple(targets.values()), tuple(left_out), design.FOR_A_LAW)


def _resolved(
    found: Sequence[Point], along: Sequence[Mapping[str, Any]], resolve: Resolve, design: str
) -> tuple[list[tuple[RunSpec, bool]], list[TooLittleText]]:
    """Each run and whether it is a check, and why some are left out: a design reckons its tokens, a grid is told them.

    Raises InputError where a value is wrong, or where no run has text enough.
    """
    resolved, too_long = [], []
    for point in found:
        for more in along:
            try:
                resolved.append((resolve({**point.overrides, **more}), point.check))
            except TooLittleText as error:
                if design == GRID:
                    raise
                too_long.append(error)
    if too_long and not resolved:
        raise too_long[0]
    return resolved, too_long


def _require_settings_of_runs(keys: Iterable[str]) -> None:
    for key in dict.fromkeys(keys):
        if key in SHARED or key.split(".")[0] in SHARED:
            raise InputError(
                f"{key} is a setting of the whole sweep and cannot be an axis; run once for each value, or add "
                f"hydra/launcher=basic, which makes each combination a sweep of its own"
            )
