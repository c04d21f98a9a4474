"""How do tabs become a Dash app? One page whose URL says what it shows, and one callback for each figure."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from dash import ALL, MATCH, ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from fitting.errors import InputError
from results.dashboard.controls import checked, defaults, key_of, read_query, row
from results.dashboard.moment import Live
from results.dashboard.parts import empty, figure_panel
from results.dashboard.tab import Fixed, Panel, Tab, Words
from results.dashboard.tabs import TABS
from results.listing import plain

BEAT_SECONDS = 2.0  # between two looks at the store
INDEX = """<!DOCTYPE html>
<html lang="en"><head>{%metas%}<title>{%title%}</title>{%favicon%}{%css%}
<link rel="stylesheet" href="isoflop.css"></head>
<body>{%app_entry%}<noscript><p>The dashboard needs JavaScript; python -m results report writes a page whose words and
tables do not.</p></noscript><footer>{%config%}{%scripts%}{%renderer%}</footer></body></html>"""


def make_app(live: Live, name: str) -> Dash:
    """`name` of the store, as the header shows it."""
    app = Dash(
        "isoflop",
        title=f"isoflop: {plain(name)}",
        update_title="",
        suppress_callback_exceptions=True,
        include_assets_files=False,
        add_log_handler=False,
        index_string=INDEX,
        external_scripts=["isoflop.js"],
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    tabs = {tab.name: tab for tab in TABS}
    app.layout = lambda: _frame(live, name)
    _follow_store(app, live)
    _show_tab(app, live, tabs)
    for tab in TABS:
        for piece in tab.pieces:
            if isinstance(piece, Panel):
                _draw_panel(app, live, tab, piece)
            elif isinstance(piece, Words):
                _say_words(app, live, tab, piece)
        if tab.register is not None:
            tab.register(app, live)
    _in_the_browser(app)
    return app


def _frame(live: Live, name: str) -> Component:
    moment = live.moment()
    links = [dcc.Link(tab.title, href=tab.name, className="page-link", id={"link": tab.name}) for tab in TABS]
    return html.Div(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Interval(id="beat", interval=int(1000 * BEAT_SECONDS)),
            dcc.Store(id="version", data=moment.version),
            dcc.Store(id="curves-version", data=moment.curves_version),
            *[dcc.Store(id=key) for key in ("look", "defaults", "query")],
            html.Header(
                [
                    html.Div(
                        [html.Strong("isoflop"), html.Span(plain(name), className="store", title=plain(name))],
                        className="brand",
                    ),
                    html.Nav(links, **{"aria-label": "tabs"}),
                    html.Button("theme", id="theme", type="button", title="light, dark, or as the system"),
                ],
                className="bar",
            ),
            html.Main(id="page"),
        ]
    )


def _follow_store(app: Dash, live: Live) -> None:
    @app.callback(
        Output("version", "data"),
        Output("curves-version", "data"),
        Input("beat", "n_intervals"),
        State("version", "data"),
        State("curves-version", "data"),
        prevent_initial_call=True,
    )
    def follow(_: int, version: str, curves_version: str) -> tuple[Any, Any]:
        moment = live.moment()
        return (
            no_update if moment.version == version else moment.version,
            no_update if moment.curves_version == curves_version else moment.curves_version,
        )


def _show_tab(app: Dash, live: Live, tabs: dict[str, Tab]) -> None:
    first = TABS[0].name

    @app.callback(
        Output("page", "children"),
        Output("defaults", "data"),
        Output({"link": ALL}, "className"),
        Input("url", "pathname"),
        State("url", "search"),
    )
    def show(path: str | None, query: str | None) -> tuple[Any, Any, list[str]]:
        name = (path or "").rstrip("/").rsplit("/", 1)[-1] or first
        marked = ["page-link current" if tab.name == name else "page-link" for tab in TABS]
        if name not in tabs:
            known = ", ".join(tab.name for tab in TABS)
            return empty("No such tab", f"{name!r:.60} is none of {known}. Choose one above."), {}, marked
        tab, moment = tabs[name], live.moment()
        try:
            controls = tab.controls(live, moment)
            values = read_query(controls, query)
            shown = [
                html.Div([html.H1(tab.title), html.P(tab.question)], className="question"),
                *([row(tab.name, controls, values)] if controls else []),
                *_pieces(live, tab, values),
            ]
        except Exception as error:
            return _broken(error), {}, marked
        return shown, {"tab": tab.name, "values": defaults(controls)}, marked


def _pieces(live: Live, tab: Tab, values: dict[str, Any]) -> list[Component]:
    """Figures that follow each other share a grid."""
    drawn: list[Component] = []
    figures: list[Component] = []
    for piece in [*tab.pieces, None]:
        if isinstance(piece, Panel):
            figures.append(figure_panel(tab.name, piece))
            continue
        if figures:
            drawn.append(html.Div(figures, className="figures"))
            figures = []
        if isinstance(piece, Words):
            drawn.append(html.Div(id={"words": f"{tab.name}-{piece.name}"}, className="words"))
        elif isinstance(piece, Fixed):
            drawn.append(piece.make(live, live.moment(), values))
    return drawn


def _inputs(tab: Tab, needs: Sequence[str], curves: bool) -> list[Input]:
    follows = [Input("version", "data"), *([Input("curves-version", "data")] if curves else [])]
    return follows + [Input(key_of(tab.name, name), "value") for name in needs]


def _values(live: Live, tab: Tab, needs: Sequence[str], given: Sequence[Any]) -> dict[str, Any]:
    controls = {control.name: control for control in tab.controls(live, live.moment())}
    asked = dict(zip(needs, given[len(given) - len(needs) :], strict=True))
    return {name: checked(controls[name], value) for name, value in asked.items()}


def _draw_panel(app: Dash, live: Live, tab: Tab, panel: Panel) -> None:
    @app.callback(
        Output({"panel": f"{tab.name}-{panel.name}", "part": "drawn"}, "data"), *_inputs(tab, panel.needs, panel.curves)
    )
    def draw(*given: Any) -> dict[str, Any]:
        try:
            values = _values(live, tab, panel.needs, given)
            drawn = panel.draw(live, live.moment(), values)
        except InputError as error:
            return {"why": plain(f"{error}.")}
        except Exception as error:
            return {"why": _said(error)}
        if isinstance(drawn, str):
            return {"why": plain(drawn)}
        return {"figure": _json(drawn, "/".join(str(values[name]) for name in panel.zoom))}


def _json(drawn: go.Figure | Mapping[str, Any], view: str) -> dict[str, Any]:
    """Zoom and hidden traces stay while `view` stays, whatever the store brings."""
    made = drawn.to_dict() if isinstance(drawn, go.Figure) else drawn
    return {"data": made["data"], "layout": made["layout"] | {"uirevision": view or "same"}}


def _say_words(app: Dash, live: Live, tab: Tab, words: Words) -> None:
    @app.callback(Output({"words": f"{tab.name}-{words.name}"}, "children"), *_inputs(tab, words.needs, words.curves))
    def say(*given: Any) -> Any:
        try:
            return list(words.say(live, live.moment(), _values(live, tab, words.needs, given)))
        except InputError as error:
            return empty("Nothing to show", f"{error}.")
        except Exception as error:
            return _broken(error)


def _in_the_browser(app: Dash) -> None:
    """Theme, width and URL are the browser's business (results/assets/dashboard.js)."""

    def function(name: str) -> ClientsideFunction:
        return ClientsideFunction("isoflop", name)

    app.clientside_callback(
        function("dress"),
        Output({"panel": MATCH, "part": "graph"}, "figure"),
        Output({"panel": MATCH, "part": "graph"}, "style"),
        Output({"panel": MATCH, "part": "why"}, "children"),
        Input({"panel": MATCH, "part": "drawn"}, "data"),
        Input("look", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(function("look"), Output("look", "data"), Input("theme", "n_clicks"))
    app.clientside_callback(
        function("remember"),
        Output("query", "data"),
        Input({"tab": ALL, "control": ALL}, "value"),
        Input("look", "data"),
        State("defaults", "data"),
        prevent_initial_call=True,
    )


def _broken(error: Exception) -> Component:
    return empty("This could not be shown", _said(error))


def _said(error: Exception) -> str:
    """One line for the page; the rest for whoever started the server."""
    traceback.print_exception(error, file=sys.stderr)
    first = next(iter(str(error).splitlines()), "no reason given")
    return plain(f"{type(error).__name__}: {first} (a fault of this software; the terminal has the rest)")[:400]
