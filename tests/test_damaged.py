"""Bad input: 1,000 damaged files end as a fit or as one line that says what to do, and so does each usual slip."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from damaged import HEADER, ROWS, damaged

from fitting.__main__ import main
from fitting.errors import InputError
from fitting.fit import Fit, fit_law
from fitting.lint import lint_design
from fitting.read import read_design, read_points, read_targets

FILES, END_TO_END = 1000, 40
OTHERS = 5  # of so many files one goes to the lint of a design, and one to the reader of targets


def as_one_line(error: InputError) -> str:
    """Also no more than a screen of it, and something to do."""
    said = str(error)
    assert len(said.splitlines()) == 1
    assert len(said) < 3000, said
    return said


def test_a_thousand_damaged_files_give_a_fit_or_one_line_each(tmp_path, monkeypatch):
    """Warnings are errors here: an overflow that NumPy only mentions fails too."""
    monkeypatch.setattr("fitting.fit.RESTARTS", 16)  # restarts; the proof is not what is tested
    path = tmp_path / "points.csv"
    refused, fits, digests = [], 0, set()
    for seed in range(FILES):
        path.write_bytes(damaged(seed))
        try:
            if seed % OTHERS == 0:
                lint_design(*read_design([str(path)]))
            if seed % OTHERS == 1:
                read_targets(str(path))
        except InputError as error:
            as_one_line(error)
        try:
            points = read_points([str(path)])
            if points.digest not in digests:  # many damages leave the same numbers
                digests.add(points.digest)
                fits += isinstance(fit_law(points, resamples=2), Fit)
        except InputError as error:
            refused.append(as_one_line(error))
    assert fits > 40
    assert len(set(refused)) > 300


def run_main(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of `python -m fitting …`, without the second that a process takes to start."""
    monkeypatch.setattr(sys, "argv", ["fitting", *arguments])
    with pytest.raises(SystemExit) as exit_of:
        main()
    return int(exit_of.value.code or 0), capsys.readouterr().err


def test_damaged_files_end_to_end_give_an_answer_or_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fitting.fit.RESTARTS", 16)
    path = tmp_path / "points.csv"
    codes = []
    for seed in range(END_TO_END):
        path.write_bytes(damaged(seed))
        command = ["lint"] if seed % 4 == 0 else ["fit", "--resamples", "100"]
        code, said = run_main(monkeypatch, capsys, *command, "--points", str(path), "--json")
        assert code in ((0, 1, 2) if command == ["lint"] else (0, 2))
        assert len(said.splitlines()) == (1 if code == 2 else 0), said
        codes.append(code)
    assert {0, 2} <= set(codes)


def with_cell(row: int, column: int, value: str) -> list[list[str]]:
    rows = [list(one) for one in ROWS]
    rows[row][column] = value
    return rows


def column_of(at: int, value: str) -> list[list[str]]:
    return [[*row[:at], value, *row[at + 1 :]] for row in ROWS]


SLIPS = {
    "missing column": (["n_params", "d_tokens", "losss"], ROWS, "no column 'loss'"),
    "semicolons": (["n_params;d_tokens;loss"], [[";".join(row)] for row in ROWS], "Separate the columns by commas"),
    "a word": (HEADER, with_cell(3, 2, "abc"), "'abc' in data row 4; allowed are numbers"),
    "a date": (HEADER, column_of(2, "2024-01-01"), "'2024-01-01' in data row 1; allowed are numbers"),
    "a truth value": (HEADER, column_of(2, "true"), "'True' in data row 1; allowed are numbers"),
    "negative N": (HEADER, with_cell(1, 0, "-1e6"), "'n_params' holds -1000000.0 in data row 2"),
    "negative D": (HEADER, with_cell(1, 1, "-1e6"), "'d_tokens' holds -1000000.0 in data row 2"),
    "negative loss": (HEADER, with_cell(1, 2, "-2"), "'loss' holds -2.0 in data row 2"),
    "zero N": (HEADER, with_cell(0, 0, "0"), "allowed is 1e-12 <= n_params <= 1e+25"),
    "zero D": (HEADER, with_cell(0, 1, "0"), "allowed is 1e-12 <= d_tokens <= 1e+25"),
    "zero loss": (HEADER, with_cell(0, 2, "0"), "allowed is 1e-12 <= loss <= 1000"),
    "almost zero": (HEADER, with_cell(0, 0, "5e-324"), "'n_params' holds 5e-324 in data row 1"),
    "nan": (HEADER, with_cell(11, 2, "nan"), "'loss' holds nan in data row 12 (1 bad rows)"),
    "an empty cell": (HEADER, with_cell(11, 2, ""), "'loss' holds nan in data row 12"),
    "infinite": (HEADER, with_cell(11, 2, "inf"), "'loss' holds inf"),
    "1e30": (HEADER, with_cell(5, 0, "1e30"), "'n_params' holds 1e+30 in data row 6"),
    "1e30 loss": (HEADER, with_cell(5, 2, "1e30"), "'loss' holds 1e+30 in data row 6"),
    "no rows": (HEADER, [], "no rows to fit"),
    "nothing": ([], [], "not readable as CSV or Parquet"),
    "one point": (HEADER, ROWS[:1], "N takes 1 value"),
    "all N equal": (HEADER, column_of(0, "1e6"), "N takes 1 value"),
    "two rows, over and over": (HEADER, ROWS[:2] * 8, "N takes 1 value"),
    "a column twice": ([*HEADER, "loss"], [[*row, "3"] for row in ROWS], "the header names a column twice: loss"),
    "flops that are none": ([*HEADER, "c"], [[*row, "-1"] for row in ROWS], "'flops' holds -1.0"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_each_usual_slip_is_one_line_with_what_to_do_and_exit_code_2(slip, tmp_path, monkeypatch, capsys):
    header, rows, wanted = SLIPS[slip]
    path = tmp_path / "points.csv"
    path.write_text("".join(",".join(row) + "\n" for row in [header, *rows] if row))
    flags = ["--flops-column", "c"] if "c" in header else []
    code, said = run_main(monkeypatch, capsys, "fit", "--points", str(path), *flags)
    assert code == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert wanted in said
    assert any(word in said for word in ("Correct", "give", "Name", "Separate", "need", "rename", "add runs")), said


def test_forced_points_without_spread_are_refused_too(tmp_path, monkeypatch, capsys):
    path = tmp_path / "points.csv"
    for rows, wanted in ((ROWS[:1], "1 distinct points"), (column_of(0, "1e6"), "all 12 points have n_params = 1e+06")):
        path.write_text("".join(",".join(row) + "\n" for row in [HEADER, *rows]))
        code, said = run_main(monkeypatch, capsys, "fit", "--points", str(path), "--force")
        assert (code, said.count("\n")) == (2, 1)
        assert wanted in said


def test_a_usual_flops_column_with_gaps_gives_way_to_6nd_and_says_so(tmp_path):
    path = tmp_path / "points.csv"
    rows = [[*row, "1e20" if at else ""] for at, row in enumerate(ROWS)]
    path.write_text("".join(",".join(row) + "\n" for row in [[*HEADER, "flops"], *rows]))
    points = read_points([str(path)])
    np.testing.assert_array_equal(points.flops, points.flops_6nd)
    assert points.flops_definition == "6ND, as column 'flops' has rows without a usable number"
