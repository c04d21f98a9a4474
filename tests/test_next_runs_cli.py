"""python -m fitting next: files in, tables, JSON and lines to paste out; bad input is one line."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from test_fitting import HEADER, grid_points, run_cli, write_csv

from fitting.next_runs.acquire import Role
from fitting.next_runs.answer import Chosen
from fitting.next_runs.show import sweep_lines
from sweep.designs.grid import combinations


@pytest.fixture(scope="module")
def points_file(tmp_path_factory):
    points = grid_points(noise=0.003)
    rows = [list(row) for row in zip(points.n_params, points.d_tokens, points.loss, strict=True)]
    return write_csv(tmp_path_factory.mktemp("next") / "points.csv", HEADER, rows)


def ask(points_file: str, *more: str) -> subprocess.CompletedProcess:
    return run_cli("next", "--points", points_file, "--target-flops", "1e23", "--budget", "3e20", *more)


@pytest.fixture(scope="module")
def answered(points_file):
    done = ask(points_file, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def runs_of(lines: list[str]) -> list[tuple[float, float]]:
    """(N, D) of every run that the lines launch, read with Hydra's own grammar."""
    found = []
    for line in lines:
        start = ["python", "-m", "sweep", "-m"]
        words = line.split()
        assert words[:4] == start
        overrides = OverridesParser.create().parse_overrides(words[4:])
        axes = {
            o.get_key_element(): list(o.sweep_iterator()) if o.is_sweep_override() else [o.value()] for o in overrides
        }
        found += [(float(run["model.n"]), float(run["data.tokens"])) for run in combinations(axes)]
    return found


def test_json_holds_everything(answered):
    assert set(answered) == {
        *("target", "budget", "cost", "candidates", "runs", "interval", "verdict"),
        *("laws", "caveats", "n_definition", "sweep"),
    }
    assert set(answered["runs"][0]) == {"n_params", "d_tokens", "flops", "role", "purpose"}
    assert set(answered["verdict"]) == {"stop", "sentence", "price_before", "price_after", "saving"}
    assert answered["interval"]["after"]["low"] > answered["interval"]["before"]["low"]
    assert answered["cost"] == pytest.approx(sum(run["flops"] for run in answered["runs"]))
    assert answered["cost"] <= answered["budget"] == 3e20


def test_the_lines_launch_exactly_the_chosen_runs(answered):
    launched = runs_of(answered["sweep"])
    assert sorted(launched) == sorted((run["n_params"], run["d_tokens"]) for run in answered["runs"])


def test_sizes_share_a_line_only_where_they_share_all_horizons():
    """Four of these five runs are a product; the fifth would make six of them."""
    pairs = [(1e6, 2e7), (1e6, 4e7), (3e6, 2e7), (3e6, 4e7), (5e6, 2e7)]
    lines = sweep_lines([Chosen(n, d, 6 * n * d, Role.KNOWLEDGE, "") for n, d in pairs])
    assert len(lines) == 2
    assert sorted(runs_of(lines)) == pairs


def test_a_printed_run_composes_as_a_sweep_job(answered):
    """What Hydra composes for the first run of the first line."""
    n, d = runs_of(answered["sweep"])[0]
    arguments = [f"model.n={n:.0f}", f"data.tokens={d:.0f}", "--cfg", "job"]
    shown = subprocess.run([sys.executable, "-m", "sweep", *arguments], capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0, shown.stderr
    composed = yaml.safe_load(shown.stdout)
    assert composed["model"]["n"] == round(n)
    assert composed["data"]["tokens"] == round(d)


def test_tables_say_the_interval_before_and_after_and_the_verdict(points_file, tmp_path):
    out = tmp_path / "chosen.csv"
    done = ask(points_file, "--out", str(out))
    assert done.returncode == 0, done.stderr
    for words in ("now:", "expected:", "go on: ", "anchor", "python -m sweep -m model.n="):
        assert words in done.stdout
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"n_params", "d_tokens", "flops"}
    assert "these lines say N and D alone" in done.stdout
    pasted = [line for line in done.stdout.splitlines() if line.startswith("python -m sweep")]
    assert sorted(runs_of(pasted)) == sorted((float(row["n_params"]), float(row["d_tokens"])) for row in rows)


def test_candidates_come_from_a_file_with_their_own_cost(points_file, tmp_path):
    """Four runs, one measured already, one too dear by its own price."""
    rows = [[2e9, 2e10, 2.4e20], [1e9, 1e10, 9e20], [5e8, 1e10, 3e19], [1e7, 1e9, 6e16]]
    file = write_csv(tmp_path / "candidates.csv", ["n_params", "d_tokens", "flops"], rows)
    done = json.loads(ask(points_file, "--candidates", file, "--json").stdout)
    assert done["candidates"] == 2
    assert {run["n_params"] for run in done["runs"]} == {2e9, 5e8}
    assert done["cost"] == pytest.approx(2.7e20)
    assert any("cost more than the whole budget" in caveat for caveat in done["caveats"])


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        (["n_params", "tokens"], [[1e9, 1e10]], "no column 'd_tokens'"),
        (["n_params", "d_tokens"], [["big", 1e10]], "allowed are numbers"),
        (["n_params", "d_tokens"], [[1e9, -1.0]], "allowed is 1e-12 <= d_tokens"),
        (["n_params", "d_tokens", "flops"], [[1e9, 1e10, 0.0]], "allowed is 1e-12 <= flops"),
        (["n_params", "d_tokens"], [], "no rows"),
    ],
)
def test_bad_candidates_are_refused_in_one_line(points_file, tmp_path, header, rows, words):
    refused = ask(points_file, "--candidates", write_csv(tmp_path / "bad.csv", header, rows))
    assert refused.returncode == 2
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target-flops", "nan"), "--target-flops is nan"),
        (("--budget", "-1"), "--budget is -1"),
        (("--budget", "1e9"), "Raise the budget"),
        (("--candidates", "missing.csv"), "no such file"),
        (("--out", "/nowhere/chosen.csv"), "give a file in a folder that can be written"),
    ],
)
def test_bad_options_are_refused_in_one_line(points_file, options, words):
    refused = ask(points_file, *options)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_too_few_points_are_refused_in_one_line(tmp_path):
    file = write_csv(tmp_path / "few.csv", HEADER, [[1e7, 1e9, 3.0], [1e8, 1e10, 2.5]])
    refused = ask(file)
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
