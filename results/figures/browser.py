"""What does a page need so that its figures follow the theme and can be downloaded? One script, with the palette."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from results.figures.style import CONFIG, DARK

SCRIPT = Path(__file__).resolve().parent.parent / "assets" / "figures.js"
DOWNLOADS = ("PNG", "SVG", "HTML", "CSV")


@functools.cache
def figures_script() -> str:
    """Plotly.js has to be there: in a script element called plotly-js, or else `window.isoflop.library` replaced."""
    return f"window.isoflop = {json.dumps({'dark': DARK, 'config': CONFIG})};\n{SCRIPT.read_text()}"
