"""Runs that check the recipe: trained and recorded like all others, never a point of a law."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_figures import a_grid, a_record, a_target
from test_sweep_cli import run
from tiny_runs import byte_corpus, make_spec, place

from fitting.planner.own_runs import own_runs
from fitting.planner.sources import own_runs_of
from fitting.read import read_design, read_points
from results.listing import run_row
from results.points import record_points
from results.record import CHECK
from results.store import Store
from sweep.execute import execute
from sweep.place import Place, Work, job_to_json, place_from_json


def checks() -> list:
    """At another learning rate, and worse for it."""
    return [a_record(f"rate-{i}", 1e5, 1e6, role=CHECK, loss=9.0 + i) for i in range(3)]


def test_checks_are_left_out_of_a_law_with_one_sentence():
    points = record_points([*a_grid(), a_target(), *checks()], "test")
    assert points is not None
    assert points.digest == record_points(a_grid(), "test").digest
    assert points.excluded == ("3 runs that check the recipe",)
    assert record_points([*a_grid(), checks()[0]], "test").excluded == ("1 run that checks the recipe",)


def test_the_fit_of_a_folder_leaves_checks_out_and_keeps_targets(tmp_path):
    store = Store(tmp_path)
    for record in [*a_grid(), a_target(), *checks()]:
        store.write(record)
    points = read_points([str(tmp_path)])
    assert len(points) == len(a_grid()) + 1
    assert points.loss.max() < 9
    assert points.excluded == ("3 runs that check the recipe",)


def test_a_table_without_roles_or_with_other_ones_is_read_whole(tmp_path):
    file = tmp_path / "runs.csv"
    file.write_text("n_params,d_tokens,loss,role\n1e6,2e7,3.0,main\n2e6,4e7,2.9,\n")
    assert len(read_points([str(file)])) == 2
    file.write_text("n_params,d_tokens,loss,role\n1e6,2e7,3.0,check\n2e6,4e7,2.9,\n")
    assert len(read_points([str(file)])) == 1


def test_a_list_of_runs_tells_which_ones_check():
    assert run_row(checks()[0]).cells[-1] == "done, check"
    assert run_row(a_grid()[0]).cells[-1] == "done"


def test_a_place_tells_the_role_of_each_run_and_survives_its_json(text_folder):
    corpus = byte_corpus(text_folder)
    one, other = make_spec(corpus), make_spec(corpus, seed=1)
    here = place(corpus, "store", checks=(one.run_id,))
    assert [here.role_of(spec.run_id) for spec in (one, other)] == ["check", "fit"]
    job = json.loads(json.dumps(job_to_json([Work(one)], here)))
    assert place_from_json(job["place"]) == here
    del job["place"]["checks"]  # handed over by a version that knew none
    assert place_from_json(job["place"]).checks == Place("", "", "", "", "", 1.0).checks == ()


def test_a_check_that_was_trained_says_so_in_its_record(text_folder, tmp_path):
    corpus = byte_corpus(text_folder)
    spec = make_spec(corpus, steps=2)
    assert execute(spec, place(corpus, tmp_path, checks=(spec.run_id,))).role == CHECK


@pytest.mark.slow
def test_parts_of_a_sweep_are_trained_together_and_checks_stay_out_of_its_law(text_folder, tmp_path):
    parts = "{ladder: {design: ladder, sizes: [3e3,6e3,12e3], multiples: [0.25,0.5,1]}, "
    parts += "rates: {design: lr, sizes: [3e3], multiples: [0.5,1,2], check: true}}"
    out = run(text_folder, tmp_path, "-m", "design=parts", f"design.parts={parts}", "name=parts")
    records, _ = Store(tmp_path).records()
    assert sorted(record.role for record in records) == ["check"] * 2 + ["fit"] * 9
    rates = {record.learning_rate for record in records if record.role == "check"}
    assert rates == {0.5 * 6e-3, 2 * 6e-3}
    assert "grid: 11 runs" in out
    assert out.count("done, check") == 2
    (fit,) = (tmp_path / "fits").glob("parts-*.json")
    stored = json.loads(fit.read_text())
    assert "2 runs that check the recipe" in json.dumps(stored)


def test_a_lint_and_a_plans_own_runs_leave_checks_out(tmp_path):
    """Three rates were tried at one (N, D): neither a repeated cell of the design, nor the rate that was best."""
    store = Store(tmp_path)
    for record in [*a_grid(), *(record.replace(learning_rate=0.1 * (i + 1)) for i, record in enumerate(checks()))]:
        store.write(record)
    n_params, _, _ = read_design([str(tmp_path)])
    assert len(n_params) == len(a_grid())
    rate = own_runs_of([str(tmp_path)], None, "n_params").learning_rate
    assert rate == own_runs(record_columns(a_grid())).learning_rate
    assert "all 9 runs" in rate or "no other was tried" in rate


def record_columns(records: list) -> dict[str, np.ndarray]:
    return {name: np.asarray([getattr(record, name) for record in records]) for name in vars(records[0])}
