"""Several designs in one: each part is a design with its settings, the values of its runs, and whether it checks."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import Any

from omegaconf import OmegaConf

from fitting.errors import InputError
from sweep.designs.design import Overrides, Point, Resolve, design_named
from sweep.reader import Reader
from sweep.spec import RunSpec

FOR_A_LAW = True
NAME = "parts"
OWN = ("design", "overrides", "check")  # what a part says besides the settings of its design


def points(read: Reader, resolve: Resolve) -> list[Point]:
    parts = read.mapping("design.parts")
    if not parts:
        raise InputError(
            "design=parts needs design.parts: a mapping from labels to designs, such as "
            "{slices: {design: isoflop, budgets: [1e12]}}"
        )
    found: list[Point] = []
    for label, part in parts.items():
        try:
            found += _of(part, read, resolve)
        except InputError as error:
            raise InputError(f"design.parts.{label}: {error}") from None
    return found


def _of(part: Any, read: Reader, resolve: Resolve) -> list[Point]:
    if not isinstance(part, dict) or not isinstance(part.get("design"), str):
        raise InputError(f"{str(part)[:60]!r} is no part; allowed is a mapping with a design, such as {{design: lr}}")
    overrides, check = part.get("overrides") or {}, part.get("check") or False
    if not isinstance(overrides, dict) or not isinstance(check, bool):
        raise InputError(f"overrides is {overrides!r}, check is {check!r}; allowed are a mapping, and true or false")
    for key in overrides:
        read.require_key(key)
    name = part["design"]
    design = design_named(name)
    if name == NAME:
        raise InputError("a part cannot have parts; list them side by side")
    settings = {**_settings(name), **{key: value for key, value in part.items() if key not in OWN}}
    unknown = sorted(settings.keys() - _settings(name).keys())
    if unknown:
        allowed = ", ".join([*OWN, *sorted(_settings(name))])
        raise InputError(f"{unknown[0]} is no setting of a part of design {name}; allowed are {allowed}")
    values = read.values.having({**{f"design.{key}": value for key, value in settings.items()}, **overrides})

    def resolve_part(point: Overrides) -> RunSpec:
        return resolve({**overrides, **point})

    inside = design.points(Reader(values), resolve_part)
    return [Point({**overrides, **point.overrides}, check or point.check) for point in inside]


@functools.cache
def _settings(name: str) -> Mapping[str, Any]:
    """Of a design, by default; limits, axes and targets are those of all parts together."""
    shared = {*_yaml("_common"), "name", "defaults"}
    return {key: value for key, value in _yaml(name).items() if key not in shared}


def _yaml(name: str) -> dict[str, Any]:
    with as_file(files("conf") / "design" / f"{name}.yaml") as file:
        loaded: Any = OmegaConf.to_container(OmegaConf.load(file))
    return loaded
