"""The laws, one file each: a module of this package that defines a concrete Law is found by its name."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from fitting.errors import InputError
from fitting.laws.law import Law, Parameter

__all__ = ["Law", "Parameter", "law_named", "law_names"]


@functools.cache
def _laws() -> dict[str, Law]:
    found = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            defined_here = isinstance(value, type) and value.__module__ == module.__name__
            if defined_here and issubclass(value, Law) and value is not Law:
                law = value()
                found[law.name] = law
    return found


def law_names() -> list[str]:
    return sorted(_laws())


def law_named(name: str) -> Law:
    """The law called `name`. Raises InputError with the names that exist."""
    if name not in _laws():
        raise InputError(f"law {name!r} is not known; choose one of {', '.join(law_names())}")
    return _laws()[name]
