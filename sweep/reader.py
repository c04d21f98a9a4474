"""Typed reads of a composed configuration: what was got, what is allowed, what to do."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from fitting.errors import InputError
from sweep.values import Values


class Reader:
    """Typed reads of dotted keys."""

    def __init__(self, values: Values):
        self.values = values

    def require_key(self, key: str) -> None:
        keys = self.values.keys
        if key not in keys:
            close = difflib.get_close_matches(key, keys, n=3)
            group = sorted(name for name in keys if name.split(".")[0] == key.split(".")[0]) or sorted(keys)
            hint = f"did you mean {' or '.join(close)}?" if close else f"choose one of {', '.join(group)}"
            raise InputError(f"{key} is not a setting; {hint}")

    def raw(self, key: str) -> Any:
        try:
            return self.values.get(key)
        except OmegaConfBaseException as error:
            raise InputError(f"{key} cannot be read: {str(error).splitlines()[0]}") from None

    def text(self, key: str) -> str:
        value = self.raw(key)
        if value is None or isinstance(value, (dict, list)) or str(value) == "":
            raise InputError(f"{key} is {value!r}; allowed is a text")
        return str(value)

    def optional_text(self, key: str) -> str | None:
        return None if self.raw(key) is None else self.text(key)

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        value = self.text(key)
        if value not in allowed:
            raise InputError(f"{key} is {value!r}; allowed are {', '.join(allowed)}")
        return value

    def optional_choice(self, key: str, allowed: Sequence[str]) -> str | None:
        return None if self.raw(key) is None else self.choice(key, allowed)

    def boolean(self, key: str) -> bool:
        value = self.raw(key)
        if not isinstance(value, bool):
            raise InputError(f"{key} is {_shown(value)}; allowed are true and false")
        return value

    def number(self, key: str, low: float, high: float) -> float:
        value = self.raw(key)
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not low <= number <= high:
            raise InputError(f"{key} is {_shown(value)}; allowed is a number from {low:g} to {high:g}")
        return number

    def whole(self, key: str, low: int, high: int) -> int:
        """Floats that are whole are accepted (1e6), others are refused."""
        value = self.raw(key)
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not (low <= number <= high and number == math.floor(number)):
            raise InputError(
                f"{key} is {_shown(value)}; allowed is a whole number from {low:g} to {high:g}, such as 1e6"
            )
        return int(number)

    def optional_number(self, key: str, low: float, high: float) -> float | None:
        return None if self.raw(key) is None else self.number(key, low, high)

    def optional_whole(self, key: str, low: int, high: int) -> int | None:
        return None if self.raw(key) is None else self.whole(key, low, high)

    def numbers(self, key: str, low: float, high: float) -> list[float]:
        """A list of numbers, or one number."""
        value = self.raw(key)
        listed = value if isinstance(value, list) else [value]
        listed = listed or [None]
        found = []
        for item in listed:
            try:
                number = math.nan if isinstance(item, bool) or item is None else float(item)
            except (TypeError, ValueError):
                number = math.nan
            if not low <= number <= high:
                raise InputError(
                    f"{key} is {_shown(value)}; allowed are numbers from {low:g} to {high:g}, several in brackets"
                )
            found.append(number)
        return found

    def paths(self, key: str) -> tuple[tuple[str | None, str], ...]:
        """(domain or None, path) of a path, a list of paths, or a mapping from domains to paths."""
        value = self.raw(key)
        if value is None:
            return ()
        if isinstance(value, dict):
            return tuple((str(name), str(path)) for name, path in value.items())
        return tuple((None, str(path)) for path in (value if isinstance(value, list) else [value]))

    def mapping(self, key: str) -> dict[str, Any] | None:
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise InputError(f"{key} is {_shown(value)}; allowed is a mapping, such as {{model.n: 1e6}}")
        return {str(name): item for name, item in value.items()}


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)[:80]
