"""What does the published sweep say, as tables of Markdown? Each function makes one from the store."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fitting.ensemble import forecast
from fitting.fit import Fit, fit_law
from fitting.parabola import lowest
from fitting.points import Points
from fitting.predict import predict
from fitting.replicates import seed_noise
from fitting.show import si
from results.measurement import Measurement
from results.outcome import Outcome
from results.points import record_points
from results.record import CHECK, FIT, TARGET, RunRecord
from results.scores import AVERAGE, law_scores, laws_of, told_of
from results.store import Store

STORE = "results/published/python_source"  # from ROOT
COUNTS = {"n_params_non_embedding": "non-embedding", "n_params": "all", "n_params_flops": "FLOPs a token / 6"}
POSITIONS = {"1": "1", "2": "2-3", "4": "4-7", "8": "8-15", "16": "16-31", "32": "32-63", "64": "64"}
CENTRAL = (0.05, 0.95)  # quantiles of a 90% interval
REFIT = 200  # resamples of a law whose intervals nobody reads


class Published:
    """The store, read once."""

    def __init__(self, folder: Path):
        store = Store(folder)
        self.records = store.records()[0]
        self.measured = store.all_measurements()
        by_id = {record.run_id: record for record in self.records}
        self.outcomes = [Outcome(sealed, by_id.get(sealed.run_id)) for sealed in store.forecasts()[0]]
        self.copying = json.loads((folder / "copying.json").read_text())

    def role(self, role: str) -> list[RunRecord]:
        return sorted((r for r in self.records if r.role == role), key=lambda r: (r.flops, r.n_params))

    def points(self, count: str = "n_params_non_embedding") -> Points:
        points = record_points(self.records, STORE, count)
        assert points is not None
        return points


def of_average(published: Published) -> list[Outcome]:
    return [one for one in told_of(published.outcomes) if one.forecast.law == AVERAGE]


def forecast_table(published: Published) -> str:
    """A row a target, a column a span; every sealed forecast of the average."""
    rows = []
    spans = sorted({column(one) for one in of_average(published)})
    for target in published.role(TARGET):
        cells = {column(one): one for one in of_average(published) if one.forecast.run_id == target.run_id}
        shown = [cell(cells[span]) if span in cells else "" for span in spans]
        rows.append([si(target.n_params_non_embedding), si(target.d_tokens), f"{target.loss:.3f}", *shown])
    return markdown(["N", "D", "loss", *(f"from {span:g}x less" for span in spans)], rows)


def column(one: Outcome) -> float:
    return float(f"{one.forecast.span:.2g}")


def cell(one: Outcome) -> str:
    return f"{one.error:+.1%} ({'in' if one.inside else 'out'})"


def today_table(published: Published) -> str:
    """Today's average of laws, from all fitted runs. Not sealed: these outcomes were known when it was changed."""
    points, targets = published.points(), published.role(TARGET)
    asked = [np.asarray([getattr(t, name) for t in targets]) for name in (points.n_definition, "d_tokens", "flops")]
    found = forecast(points, *asked)
    low, high = found.band(0.9)
    rows = []
    for place, target in enumerate(targets):
        truth = target.loss or math.nan
        said = f"{found.loss[place]:.3f} ({low[place]:.3f} .. {high[place]:.3f})"
        error, inside = found.loss[place] / truth - 1, low[place] <= truth <= high[place]
        size, tokens = si(target.n_params_non_embedding), si(target.d_tokens)
        rows.append([size, tokens, f"{truth:.3f}", said, f"{error:+.1%} ({'in' if inside else 'out'})"])
    return markdown(["N", "D", "loss", "today's forecast", "error"], rows)


def law_table(published: Published) -> str:
    rows = [
        [
            one.law,
            f"{one.median_error:.1%}",
            f"{one.largest_error:.1%}",
            f"{one.inside50} of {one.told50}",
            f"{one.inside90} of {one.told}",
            f"{one.half_width90:.1%}",
            f"{one.interval_score90:.3f}",
        ]
        for one in law_scores(published.outcomes)
    ]
    header = ["law", "median error", "largest", "in 50%", "in 90%", "half-width of 90%", "interval score"]
    return markdown(header, rows)


def span_table(published: Published) -> str:
    """Median error and hits by law and span."""
    told = told_of(published.outcomes)
    spans = sorted({column(one) for one in told})
    rows = []
    for law in laws_of(told):
        row = [law]
        for span in spans:
            mine = [one for one in told if one.forecast.law == law and column(one) == span]
            middle = np.median([abs(one.error or 0) for one in mine])
            row.append(f"{middle:.1%}, {sum(bool(one.inside) for one in mine)} of {len(mine)}")
        rows.append(row)
    return markdown(["law", *(f"{span:g}x" for span in spans)], rows)


def loss_at(rows: Sequence[Measurement], start: str) -> float:
    last = max(row.step for row in rows)
    return next(r.value for r in rows if r.step == last and r.kind == "position" and r.name == start)


@functools.cache
def position_errors(published: Published, start: str) -> np.ndarray:
    """|error| at the targets of a Chinchilla law of the losses at these positions of all fitted runs."""
    points = published.points()
    losses = np.asarray([loss_at(published.measured[run_id], start) for run_id in points.cluster])
    targets = published.role(TARGET)
    fit = fit_law(dataclasses.replace(points, loss=losses), "chinchilla", resamples=REFIT)
    asked = [np.asarray([getattr(t, name) for t in targets]) for name in (points.n_definition, "d_tokens", "flops")]
    truth = np.asarray([loss_at(published.measured[target.run_id], start) for target in targets])
    return np.abs(predict(fit, *asked).loss / truth - 1)


def position_table(published: Published) -> str:
    rows = []
    best = [min(published.role(role), key=lambda r: r.loss or math.inf) for role in (FIT, TARGET)]
    for start, name in POSITIONS.items():
        errors = position_errors(published, start)
        losses = [f"{loss_at(published.measured[run.run_id], start):.3f}" for run in best]
        rows.append([name, *losses, f"{np.median(errors):.1%}", f"{errors.max():.1%}"])
    header = ["position in the window", "best fitted run", "best target", "median error", "largest error"]
    return markdown(header, rows)


def copying_table(published: Published) -> str:
    shares = published.copying["shares"]
    names = list(shares)
    rows = [
        [f"{row['flops']:.2g}".replace("e+", "e"), *(f"{row[name]:.3f}" for name in names)]
        for row in published.copying["runs"]
    ]
    return markdown(["FLOPs", *(f"{name} ({shares[name]:.0%} of the tokens)" for name in names)], rows)


def noise_table(published: Published) -> str:
    """Between runs that differ in their seeds alone, by half decade of compute and pooled."""
    points = published.points()
    half = np.round(2 * np.log10(points.flops))
    groups = [(f"{10 ** (value / 2):.0e}".replace("e+", "e"), half == value) for value in np.unique(half)]
    found = [(name, seed_noise(points.take(rows))) for name, rows in [*groups, ("all", np.isfinite(half))]]
    rows = [[name, f"{one.cells}", f"{one.runs}", f"{one.sd:.2%}"] for name, one in found if one is not None]
    return markdown(["FLOPs", "settings", "runs", "standard deviation of ln L"], rows)


def rate_table(published: Published) -> str:
    checks = published.role(CHECK)
    tried = sorted({record.learning_rate for record in checks})
    rows = []
    for n, (best, cost, _) in rates(published).items():
        mine = sorted((r for r in checks if r.n_params_non_embedding == n), key=lambda r: r.learning_rate)
        losses = [record.loss or math.inf for record in mine]
        shown = [f"**{loss:.4f}**" if loss == min(losses) else f"{loss:.4f}" for loss in losses]
        rows.append([si(n), si(mine[0].d_tokens), *shown, f"{best:.2g}", f"{cost:.2%}"])
    return markdown(["N", "D", *(f"{rate:g}" for rate in tried), "best rate", "cost of the shared one"], rows)


def rates(published: Published) -> dict[float, tuple[float, float, float]]:
    """By N: the best learning rate, what the shared one costs as a share of the loss, and the shared one."""
    shared = published.role(FIT)[0].learning_rate
    found = {}
    for n in sorted({record.n_params_non_embedding for record in published.role(CHECK)}):
        mine = sorted(
            (r for r in published.role(CHECK) if r.n_params_non_embedding == n), key=lambda r: r.learning_rate
        )
        losses = np.asarray([record.loss or math.inf for record in mine])
        best, least = lowest(np.log([record.learning_rate for record in mine]), losses)
        used = next(record.loss or math.inf for record in mine if record.learning_rate == shared)
        found[n] = math.exp(best), used / min(least, losses.min()) - 1, shared
    return found


def count_table(published: Published) -> str:
    rows = []
    for count, name in COUNTS.items():
        fit = fit_law(published.points(count), "chinchilla")
        shown = [interval(fit, constant) for constant in ("E", "alpha", "beta")]
        rows.append([name, *shown, share_of_n(fit), fit.status.value])
    return markdown(["N counts", "E", "alpha", "beta", "N* grows as C to the power", "status"], rows)


def interval(fit: Fit, name: str) -> str:
    return ranged(fit.constants[name], np.quantile(fit.constant_draws()[name], CENTRAL))


def ranged(value: float, edges: np.ndarray) -> str:
    return f"{value:.2f} ({edges[0]:.2f} .. {edges[1]:.2f})"


def share_of_n(fit: Fit) -> str:
    """beta / (alpha + beta), with the 90% interval of its resamples."""
    draws, found = fit.constant_draws(), fit.constants
    edges = np.quantile(draws["beta"] / (draws["alpha"] + draws["beta"]), CENTRAL)
    return ranged(found["beta"] / (found["alpha"] + found["beta"]), edges)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
