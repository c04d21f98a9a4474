"""How do cards, tables and figures look on a tab? The same HTML as the report's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from results.dashboard.tab import Panel
from results.figures.browser import DOWNLOADS
from results.figures.style import CONFIG
from results.listing import plain

# Before the first answer: no axes from nowhere.
LONGEST_LINE = 44  # characters of a cell that does not wrap
_CLEAR, _HIDDEN = "rgba(0,0,0,0)", {"visible": False}
NOTHING: Any = {
    "data": [],
    "layout": {"xaxis": _HIDDEN, "yaxis": _HIDDEN, "paper_bgcolor": _CLEAR, "plot_bgcolor": _CLEAR},
}


def cards(shown: Sequence[tuple[str, str, Sequence[str], str]]) -> Component:
    """Each: topic, answer, sentences, tone."""
    return html.Section(
        [
            html.Article(
                [
                    html.H2(plain(topic)),
                    html.P(plain(answer), className="answer"),
                    *[html.P(plain(sentence)) for sentence in sentences],
                ],
                className=f"card {tone}",
            )
            for topic, answer, sentences, tone in shown
        ],
        className="cards",
    )


def heading(title: str, *sentences: str) -> list[Component]:
    return [html.H2(plain(title)), *[html.P(plain(sentence), className="under") for sentence in sentences]]


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), classes: Sequence[str] = ()
) -> Component:
    """`numbers` are the columns set flush right; a header may hold a unit after a newline."""

    def side(column: int) -> str:
        return "n" if column in numbers else ""

    def head(text: str) -> list:
        name, _, unit = text.partition("\n")
        return [plain(name), *([html.Small(plain(unit))] if unit else [])]

    return html.Div(
        html.Table(
            [
                html.Thead(html.Tr([html.Th(head(text), className=side(i)) for i, text in enumerate(headers)])),
                html.Tbody(
                    [
                        html.Tr(
                            [
                                html.Td(plain(str(cell)), className=f"{side(i)} {_width(cell)}")
                                for i, cell in enumerate(one)
                            ],
                            className=classes[at] if classes else "",
                        )
                        for at, one in enumerate(rows)
                    ]
                ),
            ]
        ),
        className="scroll",
        tabIndex="0",
    )


def _width(cell: str) -> str:
    """Figures stay on one line, sentences get room."""
    return "long" if len(cell) > LONGEST_LINE else "line"


def empty(title: str, *sentences: str) -> Component:
    """What stands where nothing can be shown yet, and what to do."""
    return html.Div(
        [html.P(plain(title), className="answer"), *[html.P(plain(one)) for one in sentences]],
        className="card caution empty",
    )


def command(text: str) -> Component:
    """A line to paste, with a button that copies it."""
    said = plain(text)
    return html.Div(
        [html.Code(said), dcc.Clipboard(content=said, title="copy", className="copy")],
        className="command",
        tabIndex="0",
    )


def figure_panel(tab: str, panel: Panel) -> Component:
    """The frame; callbacks fill it."""
    buttons = [
        html.Button(kind, type="button", **{"data-download": kind.lower(), "aria-label": f"{panel.title} as {kind}"})
        for kind in DOWNLOADS
    ]
    name = f"{tab}-{panel.name}"
    graph = dcc.Graph(
        id={"panel": name, "part": "graph"},
        config={**CONFIG, "displayModeBar": "hover"},
        style={"height": f"{panel.height}px"},
        responsive=True,
        figure=NOTHING,
    )
    drawn = dcc.Store(id={"panel": name, "part": "drawn"})
    return html.Figure(
        [
            html.H3(panel.title),
            dcc.Loading(
                html.Div([graph, html.P(id={"panel": name, "part": "why"}, className="why"), drawn]),
                delay_show=400,
                type="dot",
                overlay_style={"visibility": "visible", "opacity": 0.6},
            ),
            html.Figcaption(panel.caption),
            html.Div(buttons, className="downloads"),
        ],
        className="full" if panel.full else "",
        **{"data-title": panel.title},
    )
