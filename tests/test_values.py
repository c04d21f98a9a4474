"""A configuration as plain values: references follow a run's own values, and no run sees those of another."""

from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf, open_dict

from fitting.errors import InputError
from sweep.config import run_spec, sweep_settings
from sweep.data.manifest import CorpusInfo
from sweep.expand import Expanded, expanded
from sweep.reader import Reader
from sweep.spec import SPEC_VERSION
from sweep.values import Values

CORPUS = CorpusInfo.stand_in("python_source", 1024)


def composed(*overrides: str) -> DictConfig:
    with initialize_config_module("conf", version_base="1.3"):
        return compose("config", overrides=list(overrides))


def grid(axes: dict, *overrides: str) -> Expanded:
    config = composed(*overrides)
    return expanded(config, sweep_settings(config), axes, CORPUS)


def test_a_reference_follows_the_values_of_its_run():
    runs = grid({"data.seed": [3, 4, 5]}, "seed=${data.seed}", "model.n=1e4")
    assert [(spec.seed, spec.data.seed) for spec in runs.specs] == [(3, 3), (4, 4), (5, 5)]


def test_a_value_in_place_of_a_reference_is_taken():
    runs = grid({"seed": [8, 9]}, "seed=${data.seed}", "model.n=1e4")
    assert [spec.seed for spec in runs.specs] == [8, 9]


def test_an_axis_may_hold_a_reference():
    runs = grid({"seed": ["${data.seed}", 9]}, "data.seed=4", "model.n=1e4")
    assert [spec.seed for spec in runs.specs] == [4, 9]


def test_what_one_run_changed_is_put_back_for_the_next():
    values = Values.of(composed("seed=${data.seed}", "data.seed=1"))
    changed = values.having({"data.seed": 7})
    assert [values.get("seed"), changed.get("seed"), values.get("seed")] == [1, 7, 1]


def test_a_whole_group_may_be_a_reference():
    config = composed()
    with open_dict(config):
        config.mine, config.model = config.model.copy(), "${mine}"
        config.mine.n = 5e4
    assert run_spec(Values.of(config), {}, CORPUS) == run_spec(Values.of(composed("model.n=5e4")), {}, CORPUS)


def test_a_reference_to_nothing_is_refused_by_the_name_of_its_setting():
    with pytest.raises(InputError, match=r"^seed cannot be read: Interpolation key 'no\.such' not found"):
        Reader(Values.of(composed("seed=${no.such}"))).whole("seed", 0, 9)


def test_a_value_that_must_be_given_is_asked_for():
    with pytest.raises(InputError, match=r"^seed cannot be read: Missing mandatory value: seed"):
        Reader(Values.of(composed("seed=???"))).whole("seed", 0, 9)


def test_a_mapping_adds_to_the_one_that_is_there_as_an_override_of_hydra_does():
    given, more = "data.mixture={a: 0.5, b: 0.5}", {"b": 0.25}
    by_hydra = composed(given, "data.mixture={b: 0.25}").data.mixture
    assert Values.of(composed(given)).having({"data.mixture": more}).get("data.mixture") == by_hydra


def test_groups_lists_and_absent_keys_are_read_as_omegaconf_reads_them():
    config = composed("data.path={a: x, b: y}", "evaluation.tasks=[p, q]", "~data.seed")
    values = Values.of(config)
    for key in [*values.keys, "data.seed", "no.such", "model", "seed.more"]:
        expected = OmegaConf.select(config, key)
        plain = OmegaConf.to_container(expected) if OmegaConf.is_config(expected) else expected
        assert values.get(key) == plain


def test_a_grid_of_thousands_is_composed_in_far_less_than_5_ms_a_run():
    axes = {"model.n": np.geomspace(1e4, 1e7, 40).round().tolist(), "data.tokens": np.geomspace(1e6, 1e8, 50).tolist()}
    config = composed()
    began = time.perf_counter()
    runs = expanded(config, sweep_settings(config), axes, CORPUS)
    assert (time.perf_counter() - began) / 2000 < 1e-3  # 0.07 ms on an idle core
    assert len(runs.specs) == 2000


def test_the_name_of_a_run_is_that_of_all_its_fields():
    spec = run_spec(Values.of(composed("data.mixture={a: 1}")), {}, CORPUS)
    whole = {"version": SPEC_VERSION, **dataclasses.asdict(spec)}
    assert spec.run_id == spec.run_id  # a cached name is no field of the canonical text
    assert spec.canonical_json == json.dumps(whole, sort_keys=True, separators=(",", ":"))
