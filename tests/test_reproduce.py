"""The command that trains a run again resolves to the same specification."""

from __future__ import annotations

import shlex

import pytest
from test_figures import a_record
from test_values import grid

from results.reproduce import command_of, needs_path

RECIPES = [
    [],
    ["model.mlp=swiglu", "model.queries_per_key=2", "model.n=3e5", "optimiser=muon", "precision=bfloat16"],
    ["data.tokens=3e6", "data.max_epochs=40", "data.unique_tokens=100000", "data.seed=4", "seed=9"],
    ["model.experts=4", "model.experts_per_token=2", "model.tied=true", "model.qk_norm=false"],
    ["schedule=cosine", "schedule.warmup_steps=7", "optimiser.rate_exponent=0.3", "optimiser.learning_rate=0.0123"],
    ["data.sequence=128", "optimiser.batch_sequences=16", "data.eval_tokens=1280", "optimiser.z_loss=1e-4"],
]


@pytest.mark.parametrize("overrides", RECIPES, ids=lambda words: " ".join(words) or "defaults")
def test_the_command_of_a_record_resolves_to_its_run(overrides: list[str]):
    (spec,) = grid({}, "model.n=1e4", "data.tokens=1e6", *overrides).specs
    epochs = spec.d_tokens / (spec.data.unique_tokens or 1e9)
    record = a_record(spec.run_id, spec_json=spec.canonical_json, corpus="python_source", epochs=epochs)
    line = command_of(record)
    assert line is not None
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "sweep"]
    (again,) = grid({}, *words[3:]).specs
    assert again.run_id == spec.run_id


def test_a_specification_that_says_too_little_gives_no_command():
    for text in ("{}", "", "[]", '{"architecture": 3}', "nonsense"):
        assert command_of(a_record(spec_json=text)) is None


def test_text_from_a_place_needs_its_place_and_hostile_names_are_quoted():
    (spec,) = grid({}, "model.n=1e4", "data.tokens=1e6").specs
    record = a_record(spec_json=spec.canonical_json, corpus="text; rm -rf ~")
    assert needs_path(record)
    assert not needs_path(record.replace(corpus="python_source"))
    line = command_of(record)
    assert line is not None
    assert "'data=text; rm -rf ~'" in line
