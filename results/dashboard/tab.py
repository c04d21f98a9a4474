"""What is a tab made of? Controls, figures, and words; each says which controls it depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
from dash.development.base_component import Component

from results.dashboard.controls import Control, Values
from results.dashboard.moment import Live, Moment

# A figure, the same as JSON ("data" and "layout"), or the sentence that says why there is none.
Drawn = go.Figure | Mapping[str, Any] | str
Draw = Callable[[Live, Moment, Values], Drawn]
Say = Callable[[Live, Moment, Values], Sequence[Component]]


@dataclass(frozen=True)
class Panel:
    """One figure with its caption."""

    name: str
    title: str
    caption: str
    draw: Draw
    needs: tuple[str, ...] = ()  # controls
    height: int = 420  # pixels, before it is drawn
    full: bool = False  # takes a whole row
    curves: bool = False  # follows the curves of running runs too
    zoom: tuple[str, ...] = ()  # controls whose change makes another view of it: zoom is not kept then


@dataclass(frozen=True)
class Words:
    """Cards, tables, sentences."""

    name: str
    say: Say
    needs: tuple[str, ...] = ()
    curves: bool = False


@dataclass(frozen=True)
class Fixed:
    """What no callback of the framework fills: a table with its own."""

    make: Callable[[Live, Moment, Values], Component]


Piece = Panel | Words | Fixed


@dataclass(frozen=True)
class Tab:
    name: str  # its path in the URL
    title: str
    question: str
    controls: Callable[[Live, Moment], Sequence[Control]]
    pieces: tuple[Piece, ...]
    register: Callable[..., None] | None = None  # (app, live): callbacks of its own
    notes: tuple[str, ...] = field(default=())
