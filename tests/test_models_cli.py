"""python -m models and the fields of an architecture: what they tell, what they refuse in one line."""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest
from plain_decoder import BASE

from models import Architecture, ArchitectureError, architecture_near
from models.__main__ import main


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        *((name, 0, "1 or more") for name in ("width", "depth", "heads", "mlp_width", "vocab_size", "experts")),
        ("width", 30, "multiple of 8"),
        ("mlp_width", 52.5, "whole numbers"),
        ("depth", True, "whole numbers"),
        ("queries_per_key", 0, "1 or more"),
        ("queries_per_key", 3, "divisors of 4"),
        ("experts_per_token", 0, r"1 to model.experts \(1\)"),
        ("experts_per_token", 2, r"1 to model.experts \(1\)"),
        ("mlp", "relu", "squared_relu, gelu, swiglu"),
        ("tied", "false", "True and False"),
        ("qk_norm", 1, "True and False"),
        ("parametrisation", "mup", "complete_p, standard"),
    ],
)
def test_bad_fields_are_one_line_with_the_name_and_what_is_allowed(field, value, told):
    with pytest.raises(ArchitectureError, match=rf"model\.{field} .*{told}") as refused:
        dataclasses.replace(BASE, **{field: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("n", [0, 10, 10**14])
def test_impossible_sizes_are_refused_with_the_range(n):
    with pytest.raises(ArchitectureError, match=r"model\.n is .* allowed is 2000 to 2e\+12"):
        architecture_near(n, 1024)


@pytest.fixture
def told(monkeypatch, capsys):
    """(exit status, stdout, stderr) of python -m models WORDS."""

    def run(words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["models", *words.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *capsys.readouterr())

    return run


@pytest.mark.parametrize("count", ["non_embedding", "total", "flops"])
def test_the_command_line_finds_n_by_any_count(told, count):
    options = "--vocab 512 --context 128 --mlp swiglu --queries-per-key 2 --tied --experts 4 --experts-per-token 2"
    status, out, _ = told(f"table 1e6 1e8 --rows 3 --count {count} {options} --json")
    assert status == 0
    rows = json.loads(out)
    assert [row["asked"] for row in rows] == pytest.approx([1e6, 1e7, 1e8])
    for row in rows:
        assert row["by_flops" if count == "flops" else count] == pytest.approx(row["asked"], rel=0.02)
        choices = {"mlp": "swiglu", "queries_per_key": 2, "tied": True, "experts": 4, "experts_per_token": 2}
        sizes = {name: row[name] for name in ("width", "depth", "heads", "mlp_width")}
        a = Architecture(vocab_size=512, **sizes, **choices)
        assert (row["total"], row["active"]) == (a.count(128).total, a.count(128).active)
        assert row["training_flops_per_token"] == a.flops_per_token(128)


def test_the_command_line_shows_a_table(told):
    status, out, _ = told("show 1e6 --count total")
    assert status == 0
    assert "vocabulary 1024, context 64 tokens; N counts total" in out
    assert "1e+06" in out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("show 1e6 --count all", "--count is 'all'; allowed are non_embedding, total, flops"),
        ("show 1e6 --mlp relu", "model.mlp is 'relu'; allowed are squared_relu, gelu, swiglu"),
        ("show nan", "model.n is 0 parameters; allowed is 2000 to 2e+12"),
        ("table 1e6 1e5", "give 0 < smallest <= largest"),
    ],
)
def test_the_command_line_refuses_in_one_line(told, words, named):
    status, out, err = told(words)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert named in err
