"""What came out of the sweep, for people? One HTML file that opens anywhere, offline: words, figures, tables, proof."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fitting.allocate import allocate
from fitting.errors import InputError
from results.page import Page
from results.report_figures import NAMED_BUDGETS, add_figures
from results.sections import add_proof, add_provenance, add_runs
from results.store import Store
from results.view import View, dearest_6nd, read_view
from results.words import headlines


def write_report(store: Store, path: Path, run_ids: Sequence[str] | None = None) -> Path:
    """Writes the report on these runs (None: all). Raises InputError where `path` cannot be written."""
    path = Path(path)
    _require_writable(path)  # before the work, not after
    _write_by_rename(path, report_page(read_view(store, run_ids)).html())
    return path


def report_page(view: View) -> Page:
    """The page of one moment of a store."""
    written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    sweeps = ", ".join(sorted({record.sweep for record in view.records})) or "no runs"
    page = Page(f"Scaling report: {sweeps}", f"Store {view.store}, written {written}")
    named = None
    if view.fit is not None:
        named = allocate(view.fit, dearest_6nd(view.fit) * np.asarray(NAMED_BUDGETS))
    page.cards([(card.topic, card.answer, card.sentences, card.tone) for card in headlines(view, named)])
    if view.damaged:
        page.heading("Files that could not be read", "They are left out of everything on this page.")
        page.table(("file", "why"), [(damaged.path, damaged.reason) for damaged in view.damaged])
    if view.records:
        add_figures(page, view)
        add_runs(page, view.records)
    if view.fit is not None:
        add_proof(page, view.fit)
    if view.records:
        add_provenance(page, view)
    return page


def _require_writable(path: Path) -> None:
    if os.path.isdir(path):  # pathlib's raises where a name is too long
        raise InputError(f"report {str(path)!r} is a folder; give the name of a file in it, such as report.html")
    folder = path.absolute().parent
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise InputError(f"report {str(path)!r}: its folder does not exist or cannot be written; give another path")


def _write_by_rename(path: Path, html: str) -> None:
    """A reader sees the old file or the new one, never half of one."""
    try:
        handle, name = tempfile.mkstemp(prefix=".report-", dir=path.absolute().parent)
    except OSError as error:
        raise InputError(f"report {str(path)!r} cannot be written ({error.strerror}); give another path") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(html)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)  # mkstemp's 0600 would hide the report from everybody else
        os.replace(name, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise InputError(f"report {str(path)!r} cannot be written ({error.strerror}); give another path") from None
