"""What can be set on a tab? Controls with a label, a default and a place in the URL, all checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from dash import dcc, html
from dash.development.base_component import Component

Values = Mapping[str, Any]  # by control, as checked
LONGEST = 200  # characters of one value in a URL


@dataclass(frozen=True)
class Option:
    value: str
    label: str


@dataclass(frozen=True)
class Choice:
    """One of several."""

    name: str
    label: str
    options: Sequence[Option]
    default: str
    hint: str = ""
    wide: bool = False

    def read(self, text: str | None) -> str:
        return text if text in {option.value for option in self.options} else self.default

    def draw(self, key: dict[str, str], value: Any) -> Component:
        options: Any = [{"value": option.value, "label": option.label} for option in self.options]
        return dcc.Dropdown(id=key, options=options, value=value, clearable=False, searchable=len(options) > 8)


@dataclass(frozen=True)
class Choices:
    """Several of several, in the order in which they were chosen."""

    name: str
    label: str
    options: Sequence[Option]
    default: tuple[str, ...]
    hint: str = ""
    wide: bool = True

    def read(self, text: str | None) -> list[str]:
        known = {option.value for option in self.options}
        found = [word for word in (text or "").split(",") if word in known]
        return found if text is not None else list(self.default)

    def draw(self, key: dict[str, str], value: Any) -> Component:
        options: Any = [{"value": option.value, "label": option.label} for option in self.options]
        return dcc.Dropdown(id=key, options=options, value=value, multi=True, searchable=len(options) > 8)


@dataclass(frozen=True)
class Slide:
    """A position on a scale; `marks` says what the ends, or some positions, mean."""

    name: str
    label: str
    low: float
    high: float
    step: float
    default: float
    marks: Mapping[float, str]
    hint: str = ""
    wide: bool = False

    def read(self, text: str | None) -> float:
        value = _number(text)
        return self.default if value is None else min(max(value, self.low), self.high)

    def draw(self, key: dict[str, str], value: Any) -> Component:
        marks: Any = {(int(at) if float(at).is_integer() else at): said for at, said in self.marks.items()}
        return dcc.Slider(
            id=key, min=self.low, max=self.high, step=self.step, value=value, marks=marks, allow_direct_input=False
        )


@dataclass(frozen=True)
class Number:
    """A number that may be left empty."""

    name: str
    label: str
    default: float | None = None
    hint: str = ""
    placeholder: str = ""
    wide: bool = False

    def read(self, text: str | None) -> float | None:
        return self.default if text is None else _number(text)

    def draw(self, key: dict[str, str], value: Any) -> Component:
        shown = "" if value is None else f"{value:g}".replace("e+", "e")
        return dcc.Input(
            id=key, type="text", inputMode="numeric", value=shown, debounce=True, placeholder=self.placeholder
        )


@dataclass(frozen=True)
class Hidden:
    """Set by a click elsewhere: the chosen run."""

    name: str
    default: str = ""
    label: str = ""
    hint: str = ""
    wide: bool = False

    def read(self, text: str | None) -> str:
        return (text or "")[:LONGEST]

    def draw(self, key: dict[str, str], value: Any) -> Component:
        return dcc.Input(id=key, type="hidden", value=value)


Control = Choice | Choices | Slide | Number | Hidden


def key_of(tab: str, name: str) -> dict[str, str]:
    """The id of a control's component."""
    return {"tab": tab, "control": name}


def read_query(controls: Sequence[Control], query: str | None) -> dict[str, Any]:
    """What a URL says, where it says something allowed; else the defaults."""
    given = parse_qs((query or "").lstrip("?"), keep_blank_values=True, max_num_fields=100)
    return {
        control.name: control.read(given[control.name][0] if control.name in given else None) for control in controls
    }


def defaults(controls: Sequence[Control]) -> dict[str, str]:
    """As a URL would say them: these are left out of it."""
    return {control.name: as_text(control.default) for control in controls}


def as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return f"{value:g}".replace("e+", "e") if isinstance(value, (int, float)) else str(value)


def checked(control: Control, value: Any) -> Any:
    """What a component holds, by the rules of the URL: a browser can send anything."""
    return control.read(None if value is None and not isinstance(control, Number) else as_text(value))


def row(tab: str, controls: Sequence[Control], values: Values) -> Component:
    """All controls of a tab, with their labels."""
    drawn = []
    for control in controls:
        component = control.draw(key_of(tab, control.name), values[control.name])
        if isinstance(control, Hidden):
            drawn.append(component)
            continue
        hint = [html.Small(control.hint)] if control.hint else []
        drawn.append(
            html.Div(
                [html.Div(control.label, className="label", id=f"label-{tab}-{control.name}"), component, *hint],
                className="control wide" if control.wide else "control",
                role="group",
                **{"aria-labelledby": f"label-{tab}-{control.name}"},
            )
        )
    return html.Div(drawn, className="controls")


def _number(text: str | None) -> float | None:
    """2e6, 2,000,000 and 5% of a typed number; None where it is none."""
    plain = (text or "").replace(",", "").replace("$", "").strip()
    try:
        value = float(plain.rstrip("%")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
