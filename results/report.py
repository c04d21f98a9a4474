"""What came out of the sweep, for people? One HTML file that opens anywhere, offline: words, figures, tables, proof."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from fitting.errors import InputError
from fitting.fit import Fit
from fitting.record import fit_record
from results.figures.allocation import allocation_against_compute
from results.figures.compute import frontier, isoflop_slices
from results.figures.fit_quality import predicted_against_measured, residuals_against
from results.figures.forecast import forecasts_against_truth
from results.figures.loss_curves import loss_curves
from results.listing import HEADERS, UNITS, run_row
from results.page import Page
from results.record import RunRecord, RunStatus
from results.store import Store
from results.view import View, allocation_at, dearest_6nd, read_view
from results.words import headlines

NAMED_BUDGETS = (10.0, 100.0)  # times the dearest fitted run
GRID_BUDGETS = 61
MEANINGS = {
    "E": "loss that no N and no D removes (nats/token)",
    "A": "size of the N-term (nats/token at N = 1)",
    "B": "size of the D-term (nats/token at D = 1)",
    "alpha": "exponent of N",
    "beta": "exponent of D",
}


def write_report(store: Store, path: Path, run_ids: Sequence[str] | None = None) -> Path:
    """Writes the report on these runs (None: all). Raises InputError where `path` cannot be written."""
    path = Path(path)
    _require_writable(path)  # before the work, not after
    page = report_page(read_view(store, run_ids))
    _write_by_rename(path, page.html())
    return path


def report_page(view: View) -> Page:
    """The page of one moment of a store."""
    written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    sweeps = ", ".join(sorted({record.sweep for record in view.records})) or "no runs"
    page = Page(f"Scaling report: {sweeps}", f"Store {view.path.absolute()}, written {written}")
    named = None
    if view.fit is not None:
        named = allocation_at(view.fit, dearest_6nd(view.fit) * np.asarray(NAMED_BUDGETS))
    page.cards([(card.topic, card.answer, card.sentences, card.tone) for card in headlines(view, named)])
    if view.damaged:
        page.heading("Files that could not be read", "They are left out of everything on this page.")
        page.table(("file", "why"), [(str(damaged.path), damaged.reason) for damaged in view.damaged])
    if view.records:
        _figures(page, view)
        _runs(page, view.records)
    if view.fit is not None:
        _proof(page, view.fit)
    if view.records:
        _provenance(page, view)
    return page


def _figures(page: Page, view: View) -> None:
    fit = view.fit
    if view.outcomes:
        page.heading("Forecast against truth")
        reading = (
            "The bar is the interval that was sealed, the dot the forecast, the star what the run reached: a good forecast "
            "has the star inside a short bar."
        )
        page.figure_row((forecasts_against_truth(view.outcomes), reading))
    best, dearest = None, 0.0
    if fit is not None:
        dearest = dearest_6nd(fit)
        cheapest = float((6 * fit.points.n_params * fit.points.d_tokens).min())
        decades = np.log10(100 * dearest / cheapest)
        grid = cheapest * 10 ** np.linspace(0, decades, GRID_BUDGETS)
        best = allocation_at(fit, np.unique([*grid, *(dearest * times for times in NAMED_BUDGETS)]))
    if any(record.loss is not None for record in view.records):
        page.heading("What compute buys")
        reading = "Each point is a run: those well above the line split their compute badly between N and D; those well below it "
            "do better than the law can say."
        if best is None:
            reading = "Each point is a run; there is no law to draw through them."
        row = [(frontier(view.records, fit, best), reading)]
        if fit is not None:
            reading = (
                "Along a curve compute stays the same: left of its minimum the model is too small, right of it it sees "
                "too few tokens."
            )
            row.append((isoflop_slices(view.grid, fit), reading))
        page.figure_row(*row)
    if fit is not None and best is not None:
        page.heading("How to spend a larger budget")
        fitted = (float(best.flops[0]), dearest)
        marked = tuple(dearest * times for times in NAMED_BUDGETS)
        page.figure_row(
            (
                allocation_against_compute(best, "n_params", fitted, marked),
                "Read upward from a budget to the parameters to choose; where the band is wide, the runs do not say.",
            ),
            (
                allocation_against_compute(best, "d_tokens", fitted, marked),
                "The tokens that go with it; the labels stand at 10 and 100 times the dearest fitted run.",
            ),
        )
    if view.curves:
        page.heading("Loss curves")
        reading = (
            "Lines are the training loss (lightly smoothed), dots the held-out loss after the last step: lines should "
            "fall steadily and larger models should end lower."
        )
        page.figure_row((loss_curves(view.records, view.curves), reading))
    if fit is not None:
        page.heading("How well the law fits")
        names = (("n_params", "N"), ("d_tokens", "D"), ("flops", "C"))
        page.figure_row(
            (
                predicted_against_measured(fit, view.outcomes),
                "Points on the dashed line are predicted exactly; the star is the sealed forecast, which was not fitted.",
            ),
            *(
                (
                    residuals_against(fit, name),
                    f"The grey strip is the noise of one run; a slope or a bow means that the law bends wrongly in {symbol}.",
                )
                for name, symbol in names
            ),
        )


def _runs(page: Page, records: Sequence[RunRecord]) -> None:
    page.heading("Runs", "Loss and its standard error over the windows of the fixed held-out set.")
    headers = [f"{name}\n{unit}" if unit else name for name, unit in zip(HEADERS, UNITS, strict=True)] + ["sentence"]
    records = sorted(records, key=lambda r: (r.role == "target", r.n_params_non_embedding, r.d_tokens))
    rows = [run_row(record, id_length=16) for record in records]
    marks = ["target" if r.role == "target" else "" if r.status == RunStatus.DONE else "off" for r in records]
    page.table(headers, [(*row.cells, row.sentence) for row in rows], numbers=range(1, 7), row_classes=marks)


def _proof(page: Page, fit: Fit) -> None:
    record = fit_record(fit)
    page.heading("Constants", f"{fit.law.equation}. Status: {fit.status.value}: {fit.sentence}.")
    rows = [
        (
            name,
            f"{c['value']:.4g}",
            f"{c['low']:.4g} .. {c['high']:.4g}",
            f"{c['standard_error']:.2g}",
            MEANINGS.get(name, ""),
        )
        for name, c in record["constants"].items()
    ]
    level = f"{record['level']:.0%} interval"
    page.table(("constant", "value", level, "standard error", "meaning"), rows, numbers=(1, 2, 3))
    proof, spread, held = fit.proof, record["uncertainty"], fit.held_out
    home, decade = spread["discrepancy_sd_ln_loss"]
    page.heading("Proof of convergence")
    page.table(
        ("evidence", "value", "how to read it"),
        [
            ("gradient", f"{proof.gradient_norm:.1e}", "largest free slope relative to the objective; 0 at an optimum"),
            ("smallest curvature", f"{proof.smallest_eigenvalue:.2e}", "above 0: a minimum, not a saddle"),
            ("starts", f"{proof.best_basin_share:.0%} of {proof.starts}", "that end in this optimum"),
            ("warm restart", f"{proof.restart_gain:.1e}", "relative gain of solving again; 0: the search had ended"),
            ("condition number", f"{proof.condition:.3g}", "above 1000 the constants trade against each other"),
            (
                "singular values",
                " ".join(f"{value:.2g}" for value in proof.singular_values),
                "of the unit-column Jacobian",
            ),
            ("objective", f"{fit.objective:.6g}", f"sum of Huber on ln L, delta {fit.delta:g}"),
            ("bootstrap", f"{len(fit.draws)} resamples", f"of {fit.resampled}"),
            ("noise of one run", f"{fit.noise:.2%}", "standard deviation of a residual of ln L"),
            (
                "model discrepancy",
                f"{home:.1%} + {decade:.1%} a decade",
                "added to the intervals of losses: no law is exact",
            ),
            (
                "held out by compute",
                "none" if held is None else f"{held.median_error:.2%} median, {held.largest_error:.2%} at most",
                "too few points to hold any out"
                if held is None
                else f"error on the {held.points} largest runs ({held.span:.2g}x), fitted to the others",
            ),
        ],
        numbers=(1,),
    )


def _provenance(page: Page, view: View) -> None:
    records, fit = view.records, view.fit
    done = [record for record in records if record.eval_bytes]
    rows = [
        ("store", str(view.path.absolute())),
        ("corpus", _distinct(f"{r.corpus}, fingerprint {r.corpus_fingerprint}" for r in records)),
        ("tokenizer", _distinct(r.tokenizer for r in records)),
        ("held-out set", _distinct(f"{r.eval_tokens:,} tokens, {r.eval_bytes:,} bytes" for r in done)),
        ("isoflop", _distinct(r.isoflop_version for r in records)),
        ("git commit", _distinct(r.git_commit or "not known" for r in records)),
        ("Python, JAX", _distinct(f"{r.python_version}, {r.jax_version}" for r in records)),
        ("host, device", _distinct(f"{r.host}, {r.devices} x {r.device} through {r.launcher}" for r in records)),
        ("trained", _times(records)),
    ]
    if fit is not None:
        rows.append(("points hash", f"{fit.points.digest} (SHA-256 of N, D, loss of {len(fit.points)} runs by run_id)"))
        rows.append(("definitions", f"N = {fit.points.n_definition}, C of the fit = {fit.points.flops_definition}"))
        rows += [("left out of the fit", sentence) for sentence in fit.points.excluded]
    for outcome in view.outcomes:
        sealed = outcome.forecast
        same = fit is not None and sealed.points_sha256 == fit.points.digest
        hashed = f"hash {sealed.points_sha256} ({'the' if same else 'not the'} points of the law on this page)"
        rows.append(("forecast", f"{sealed.run_id}: {sealed.law} law of {sealed.points} points, {hashed}"))
    page.heading("Provenance")
    page.table(("what", "value"), rows)


def _distinct(values: Iterable[str]) -> str:
    return "; ".join(sorted({value.strip(", ") or "not known" for value in values})) or "not known"


def _times(records: Sequence[RunRecord]) -> str:
    started = [record.started_at for record in records if record.started_at is not None]
    ended = [record.finished_at for record in records if record.finished_at is not None]
    stamp = [
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) for at in (min(started, default=0), max(ended, default=0))
    ]
    return f"{stamp[0] if started else 'not known'} to {stamp[1] if ended else 'now'} (UTC)"


def _require_writable(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"report {str(path)!r} is a folder; give the name of a file in it, such as report.html")
    if not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise InputError(f"report {str(path)!r}: its folder does not exist or cannot be written; give another path")


def _write_by_rename(path: Path, html: str) -> None:
    """A reader sees the old file or the new one, never half of one."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.absolute().parent)
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
