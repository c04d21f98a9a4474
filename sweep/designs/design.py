"""Which runs does a sweep train? A design, found by its name: one file here, one YAML in conf/design/."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import sweep.designs
from fitting.errors import InputError
from sweep.reader import Reader
from sweep.spec import RunSpec

Overrides = Mapping[str, Any]  # of one run, by dotted key
Resolve = Callable[[Overrides], RunSpec]  # what a run would be with these


@dataclass(frozen=True)
class Point:
    """One run of a design."""

    overrides: Overrides
    check: bool = False  # whether it checks the recipe; such a run never enters a law


class Design(Protocol):
    """A module of this package that has these two is a design, named as the module is."""

    FOR_A_LAW: bool  # whether its runs are meant to identify one: then the lint is shown

    def points(self, read: Reader, resolve: Resolve) -> list[Point]:
        """The runs, before axes and limits. Raises InputError naming the first setting that is wrong."""
        ...


def design_names() -> list[str]:
    """Modules with a `points`."""
    return sorted(name for _, name, _ in pkgutil.iter_modules(sweep.designs.__path__) if _is_design(name))


def design_named(name: str) -> Design:
    """Raises InputError with the names that exist."""
    if name not in design_names():
        raise InputError(f"design.name is {name!r}; allowed are {', '.join(design_names())}")
    found: Any = importlib.import_module(f"sweep.designs.{name}")
    return found


def _is_design(name: str) -> bool:
    return hasattr(importlib.import_module(f"sweep.designs.{name}"), "points")
