"""Noise of one run from runs that differ in their seed alone, and what it does to a prediction's interval."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from planned import app, runner
from test_fitting import grid_points

from fitting.fit import fit_law
from fitting.points import Points
from fitting.predict import predict
from fitting.read import read_points
from fitting.replicates import SeedNoise, replicates, seed_noise

HEADER = "n_params,d_tokens,loss,seed,lr,status"


def seeded(noise: float, copies: int = 3, cells: int = 2, seed: int = 0) -> Points:
    """A grid whose first cells were trained with further seeds."""
    points = grid_points()
    rows = np.concatenate([np.arange(36), np.repeat(np.arange(cells), copies - 1)])
    found = points.take(rows)
    loss = found.loss * np.exp(noise * np.random.default_rng(seed).standard_normal(len(rows)))
    return dataclasses.replace(found, loss=loss, cluster=tuple(map(str, range(len(rows)))), replicate=rows)


def test_pooled_variance_is_that_within_the_groups():
    """Independent: the within-group mean square of an analysis of variance, group by group."""
    points = seeded(0.01, copies=4, cells=3)
    groups = [np.log(points.loss[points.replicate == cell]) for cell in range(3)]
    square = sum(np.var(group, ddof=1) * (len(group) - 1) for group in groups) / sum(len(g) - 1 for g in groups)
    found = seed_noise(points)
    assert found.sd == pytest.approx(np.sqrt(square), rel=1e-12)
    assert (found.degrees, found.runs, found.cells) == (9, 12, 3)
    assert found.sentence.endswith("between seeds (12 runs of 3 (N, D), 9 degrees of freedom)")


@pytest.mark.parametrize("degrees", [1, 4, 60])
def test_an_interval_from_few_replicates_covers_what_it_says(degrees):
    """90% of new runs lie within 1.645 of the allowed deviation, however few runs it is estimated from."""
    rng = np.random.default_rng(degrees)
    sd = np.sqrt(rng.chisquare(degrees, 20_000) / degrees)
    allowed = np.asarray([SeedNoise(1.0, degrees, degrees + 1, 1).allowed]) * sd
    inside = np.abs(rng.standard_normal(20_000)) < 1.6448536 * allowed
    assert inside.mean() == pytest.approx(0.9, abs=0.01)


def test_rows_are_replicates_where_all_but_the_seed_is_equal():
    n, d = np.asarray([1.0, 1, 1, 1, 2, 2, 1]), np.ones(7)
    table = {"seed": np.asarray([0, 1, 2, 0, 0, 0, 1]), "lr": np.asarray([1, 1, 2, 1, 1, 1, 1])}
    found = replicates(table, n, d)
    assert found[0] == found[1]  # seeds 0 and 1
    assert len({found[0], found[2], found[3], found[6], found[4], found[5]}) == 6  # another rate; the same seed again
    spec = {"seed": table["seed"], "spec_json": np.asarray([f'{{"lr":1,"seed":{seed}}}' for seed in table["seed"]])}
    assert len(set(replicates(spec, n, d)[:3])) == 1
    assert replicates({"lr": table["lr"]}, n, d) is None
    assert seed_noise(grid_points()) is None


def test_replicates_of_a_file_set_the_noise_and_say_so(tmp_path):
    points = seeded(0.004, copies=5)
    rows = [HEADER] + [
        f"{n},{d},{loss},{row},0.01,done"
        for row, (n, d, loss) in enumerate(zip(points.n_params, points.d_tokens, points.loss, strict=True))
    ]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(rows) + "\n")
    assert seed_noise(read_points([str(path)])) == seed_noise(points)
    done = runner.invoke(app, ["fit", "--points", str(path), "--resamples", "100", "--json"])
    told = json.loads(done.stdout)["uncertainty"]
    assert told["between_seeds"] == dataclasses.asdict(seed_noise(points))
    assert "8 degrees of freedom" in told["noise_source"]
    shown = runner.invoke(app, ["fit", "--points", str(path), "--resamples", "100"]).stdout
    assert "between seeds (10 runs of 2 (N, D), 8 degrees of freedom)" in " ".join(shown.split())


def test_noise_between_seeds_widens_an_interval_and_misfit_stays_in_it():
    quiet, loud = (dataclasses.replace(seeded(0.0), replicate=None), seeded(0.0))
    noisy = loud.loss * np.exp(np.where(loud.replicate < 2, 0.03, 0.0) * np.resize([1, -1, 0], len(loud)))
    target = (np.asarray([1e9]), np.asarray([1e11]))
    widths = []
    for points in (dataclasses.replace(quiet, loss=noisy), dataclasses.replace(loud, loss=noisy)):
        fit = fit_law(points, resamples=100)
        found = predict(fit, *target)
        widths.append(float(np.log(found.high / found.low)[0]))
        told = fit.noise_sentence
    assert fit.noise > fit.scatter
    assert widths[1] > 1.5 * widths[0]
    assert f"residuals scatter by {fit.scatter:.2%}" in told
    bent = loud.loss * np.exp(0.02 * np.sin(np.log(loud.n_params)))  # equal between seeds, and no law of N and D
    missed = fit_law(dataclasses.replace(loud, loss=bent), resamples=100)
    assert missed.seeds.sd < 1e-12
    assert missed.noise == pytest.approx(missed.scatter)
    assert missed.scatter > 0.005
