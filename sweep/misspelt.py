"""What did somebody mean who named a setting or a choice that is not there? Read from the YAML files of conf/."""

from __future__ import annotations

import difflib
import re
from importlib.resources import files
from typing import Any

import yaml

_UNKNOWN_KEY = re.compile(r"Could not override '([^']+)'")
_UNKNOWN_CHOICE = re.compile(r"Could not find '([^']+)/([^'/]+)'")


def meant(complaint: str) -> str | None:
    """One sentence in the place of Hydra's complaint; None for a complaint about anything else.

    Hydra proposes to append what it does not know (+data.tokns=1e6), which adds a setting that nobody reads.
    """
    if found := _UNKNOWN_KEY.search(complaint):
        return f"{found[1]} is not a setting; {_hint(found[1], settings())}"
    if found := _UNKNOWN_CHOICE.search(complaint):
        group, choice = found[1], found[2]
        if known := choices(group):
            return f"{group}={choice} is no choice; {_close(choice, known)}known are {', '.join(known)}"
    return None


def settings() -> list[str]:
    """All that may be set, dotted, whatever the choices of groups."""
    conf = files("conf")
    found = set(_dotted("", yaml.safe_load(conf.joinpath("config.yaml").read_text())))
    for group in conf.iterdir():
        if group.is_dir() and group.name not in ("hydra", "experiment", "__pycache__"):
            for file in group.iterdir():
                if file.name.endswith(".yaml"):
                    found.update(_dotted(f"{group.name}.", yaml.safe_load(file.read_text()) or {}))
            found.add(group.name)
    return sorted(found)


def choices(group: str) -> list[str]:
    """Of a group, as group=choice; those that others are made of (_common) left out."""
    folder = files("conf").joinpath(group)
    names = (file.name for file in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml") and not name.startswith("_"))


def _dotted(prefix: str, values: dict[str, Any]) -> list[str]:
    found = []
    for name, value in values.items():
        if name not in ("defaults", "hydra"):
            found.append(prefix + str(name))
            found += _dotted(f"{prefix}{name}.", value) if isinstance(value, dict) else []
    return found


def _hint(name: str, known: list[str]) -> str:
    group, _, leaf = name.rpartition(".")
    within = [one for one in known if group and one.startswith(f"{group}.")]
    leaves = {one.removeprefix(f"{group}."): one for one in within}
    close = [leaves[one] for one in difflib.get_close_matches(leaf, leaves, n=3)]
    alike = [one for one in known if ("." in one) == ("." in name)]
    if close := close or difflib.get_close_matches(name, alike, n=3, cutoff=0.8 if within else 0.6):
        return f"did you mean {' or '.join(close)}?"
    if within:
        return f"settings of {group} are {', '.join(leaves)}"
    return "python -m sweep --help shows all"


def _close(choice: str, known: list[str]) -> str:
    close = difflib.get_close_matches(choice, known, n=2)
    return f"did you mean {' or '.join(close)}? " if close else ""
