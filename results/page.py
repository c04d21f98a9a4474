"""How does a report look as HTML? One self-contained page: escaped text, tables, figures, and plotly.js once."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from results.figures.browser import DOWNLOADS, figures_script
from results.listing import plain
from results.look import CSS

# Nothing may be fetched, whatever a name in the store says.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)

# Drawn again when the theme of the system changes, or the page becomes narrow.
DRAW = """
const drawings = [];
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: " + window.isoflop.narrow + "px)");
const show = ({name, figure}) => {
  const shown = window.isoflop.dressed(figure, dark.matches, document.getElementById(name).clientWidth);
  document.getElementById(name).style.height = shown.layout.height + "px";
  Plotly.react(name, shown.data, shown.layout, window.isoflop.config);
};
const draw = (name, figure) => { drawings.push({name, figure}); show({name, figure}); };
for (const query of [dark, narrow]) query.addEventListener("change", () => drawings.forEach(show));
"""


@dataclass
class Page:
    """HTML pieces in order. Every argument that is text gets escaped here, nowhere else."""

    title: str
    subtitle: str
    pieces: list[str] = field(default_factory=list)
    drawings: list[str] = field(default_factory=list)  # JavaScript, one line a figure

    @property
    def figures(self) -> int:
        return len(self.drawings)

    def cards(self, cards: Sequence[tuple[str, str, Sequence[str], str]]) -> None:
        """Each: topic, answer, sentences, tone (a CSS class)."""
        drawn = []
        for topic, answer, sentences, tone in cards:
            said = "".join(f"<p>{text(sentence)}</p>" for sentence in sentences)
            head = f'<h2>{text(topic)}</h2><p class="answer">{text(answer)}</p>'
            drawn.append(f'<article class="card {text(tone)}">{head}{said}</article>')
        self.pieces.append(f'<section class="cards">{"".join(drawn)}</section>')

    def heading(self, title: str, *sentences: str) -> None:
        self.pieces.append(f"<h2>{text(title)}</h2>" + "".join(f"<p>{text(sentence)}</p>" for sentence in sentences))

    def figure_row(self, *figures: tuple[go.Figure, str]) -> None:
        """Figures with their captions side by side where there is room, else below each other."""
        drawn = "".join(self._figure(figure, caption) for figure, caption in figures)
        self.pieces.append(f'<div class="figures">{drawn}</div>')

    def table(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[str]],
        numbers: Sequence[int] = (),
        row_classes: Sequence[str] = (),
        wide: bool = False,
    ) -> None:
        """`numbers` are the columns set flush right; `wide` leaves room for a sentence in the last one.

        A header may hold a second line, such as a unit, after a newline.
        """
        kind = ' class="wide"' if wide else ""
        side = [' class="n"' if column in numbers else "" for column in range(len(headers))]
        head = "".join(f"<th{side[i]}>{_header(header)}</th>" for i, header in enumerate(headers))
        body = []
        for i, row in enumerate(rows):
            mark = f' class="{text(row_classes[i])}"' if row_classes and row_classes[i] else ""
            cells = "".join(f"<td{side[j]}>{text(cell)}</td>" for j, cell in enumerate(row))
            body.append(f"<tr{mark}>{cells}</tr>")
        inner = f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
        self.pieces.append(f'<div class="scroll"><table{kind}>{inner}</table></div>')

    def html(self) -> str:
        library, drawings = "", ""
        if self.figures:
            library = f'<script id="plotly-js">{get_plotlyjs()}</script><script>{figures_script()}</script>'
            # After the whole page is laid out: drawn earlier, a figure takes the width of a row that it shares later.
            drawings = f"<script>{DRAW}{chr(10).join(self.drawings)}</script>"
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{text(self.title)}</title><style>{CSS}</style>{library}</head><body><main>"
            f"<header><h1>{text(self.title)}</h1><p>{text(self.subtitle)}</p></header>"
            "<noscript><p>The figures need JavaScript; the sentences and tables do not.</p></noscript>"
            f"{''.join(self.pieces)}</main>{drawings}</body></html>\n"
        )

    def _figure(self, figure: go.Figure, caption: str) -> str:
        name = f"figure-{self.figures + 1}"
        # A "<" in a string of the data could close the script element; in JSON it may also be written as \\u003c.
        data = figure.to_json().replace("<", "\\u003c")
        self.drawings.append(f"draw('{name}', {data});")
        height, title = figure.layout.height, figure.layout.meta["title"]
        buttons = "".join(
            f'<button type="button" data-download="{kind.lower()}" aria-label="{text(title)} as {kind}">{kind}</button>'
            for kind in DOWNLOADS
        )
        return (
            f'<figure data-title="{text(title)}"><h3>{text(title)}</h3>'
            f'<div id="{name}" class="drawing" style="height:{height}px"></div>'
            f'<figcaption>{text(caption)}</figcaption><div class="downloads">{buttons}</div></figure>'
        )


def text(value: object) -> str:
    """Anything as escaped text on one line."""
    return html.escape(plain(str(value)))


def _header(header: str) -> str:
    name, _, unit = header.partition("\n")
    return text(name) + (f"<small>{text(unit)}</small>" if unit else "")
