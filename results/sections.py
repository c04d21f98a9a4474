"""What are the parts of a report below its figures? The runs, the proof of the fit, and provenance."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from fitting.fit import Fit
from fitting.record import fit_record
from results.listing import HEADERS, UNITS, run_row
from results.page import Page
from results.record import RunRecord, RunStatus
from results.view import View
from results.words import short

MEANINGS = {
    "E": "loss that no N and no D removes (nats/token)",
    "A": "size of the N-term (at N = 1)",
    "B": "size of the D-term (at D = 1)",
    "alpha": "exponent of N",
    "beta": "exponent of D",
    "gamma": "exponent of both terms together",
}


def add_runs(page: Page, records: Sequence[RunRecord]) -> None:
    page.heading("Runs", "Loss ± its standard error over the windows of the fixed held-out set.")
    headers = [f"{name}\n{unit}" if unit else name for name, unit in zip(HEADERS, UNITS, strict=True)] + ["sentence"]
    ordered = sorted(records, key=lambda r: (r.role == "target", r.n_params_non_embedding, r.d_tokens))
    rows = [run_row(record, id_length=16) for record in ordered]
    marks = ["target" if r.role == "target" else "" if r.status == RunStatus.DONE else "off" for r in ordered]
    page.table(headers, [(*row.cells, row.sentence) for row in rows], numbers=range(1, 7), row_classes=marks, wide=True)


def add_proof(page: Page, fit: Fit) -> None:
    """The constants with their intervals, and why the optimum is one."""
    record = fit_record(fit)
    page.heading("Constants", f"{fit.law.equation}. Status: {fit.status.value}: {fit.sentence}.")
    rows = []
    for name, c in record["constants"].items():
        # An interval without width is not precision: every resample ended on the same bound.
        interval = f"{short(c['low'], 4)} .. {short(c['high'], 4)}" if c["low"] < c["high"] else "none: on its bound"
        rows.append((name, short(c["value"], 4), interval, MEANINGS.get(name, "")))
    level = f"{record['level']:.0%} interval"
    page.table(("constant", "value", level, "meaning"), rows, numbers=(1, 2))
    proof, held = fit.proof, fit.held_out
    home, decade = record["uncertainty"]["discrepancy_sd_ln_loss"]
    if held is None:
        held_out = ("none", "too few points to hold any out")
    else:
        error = f"error on the {held.points} largest runs ({held.span:.3g}x), fitted to the others"
        held_out = (f"{held.median_error:.2%} median, {held.largest_error:.2%} at most", error)
    page.heading("Proof of convergence")
    page.table(
        ("evidence", "value", "how to read it"),
        [
            ("gradient", f"{proof.gradient_norm:.1e}", "largest free slope relative to the objective; 0 at an optimum"),
            ("smallest curvature", f"{proof.smallest_eigenvalue:.2e}", "above 0: a minimum, not a saddle"),
            ("starts", f"{proof.best_basin_share:.0%} of {proof.starts}", "that end in this optimum"),
            ("warm restart", f"{proof.restart_gain:.1e}", "relative gain of solving again; 0: the search had ended"),
            ("condition number", f"{proof.condition:.3g}", "above 1000 the constants trade against each other"),
            ("singular values", " ".join(f"{value:.2g}" for value in proof.singular_values), "Jacobian, unit columns"),
            ("objective", f"{fit.objective:.6g}", f"sum of Huber on ln L, delta {fit.delta:g}"),
            ("bootstrap", f"{len(fit.draws)} resamples", f"of {fit.resampled}"),
            ("noise of one run", f"{fit.noise:.2%}", "standard deviation of a residual of ln L"),
            (
                "model discrepancy",
                f"{home:.1%} + {decade:.1%} a decade",
                "widens intervals of losses: no law is exact",
            ),
            ("held out by compute", *held_out),
        ],
        numbers=(1,),
    )


def add_provenance(page: Page, view: View) -> None:
    """Where every number comes from."""
    records, fit = view.records, view.fit
    rows = [
        ("store", view.store),
        ("corpus", _distinct(f"{r.corpus}, fingerprint {r.corpus_fingerprint}" for r in records)),
        ("tokenizer", _distinct(r.tokenizer for r in records)),
        ("held-out set", _distinct(f"{r.eval_tokens:,} tokens, {r.eval_bytes:,} bytes" for r in records)),
        ("isoflop", _distinct(r.isoflop_version for r in records)),
        ("git commit", _distinct(r.git_commit or "" for r in records)),
        ("Python, JAX", _distinct(f"{r.python_version}, {r.jax_version}" for r in records)),
        ("host, device", _distinct(f"{r.host}, {r.devices} x {r.device}, launcher {r.launcher}" for r in records)),
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
    return f"{_stamp(min(started, default=None))} to {_stamp(max(ended, default=None))}"


def _stamp(seconds: float | None) -> str:
    try:
        return "not known" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds!r} s since 1970"
