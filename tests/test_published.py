"""experiment=published: its runs are those that were trained by hand, its budgets and targets those that it names."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hydra import compose, initialize_config_module

from fitting.lint import Severity, lint_design
from sweep.config import ForecastSettings, SweepSettings, sweep_settings
from sweep.data.manifest import CorpusInfo
from sweep.expand import Expanded, expanded

CORPUS = CorpusInfo.stand_in("python_source", 1024)
SMALL = "design.budgets=[5e10,1.58e11,5e11,1.58e12]"
BY_HAND = ["design=isoflop", "name=published", "design.sizes=5", "design.step=1.778", "design.guess=20"]
BY_HAND += ["data.eval_tokens=262144"]


def composed(*overrides: str) -> tuple[SweepSettings, Expanded]:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=list(overrides))
    settings = sweep_settings(config)
    return settings, expanded(config, settings, {}, CORPUS)


@functools.cache
def published() -> tuple[SweepSettings, Expanded]:
    return composed("experiment=published")


@pytest.mark.parametrize(
    "by_hand", [[SMALL, "seed=0", "data.seed=0"], [SMALL, "seed=1", "data.seed=1"], ["design.budgets=[5e12]", "seed=0"]]
)
def test_the_slices_are_those_that_three_commands_trained(by_hand):
    trained = composed(*BY_HAND, *by_hand)[1].specs
    assert len(trained) == 5 * (4 if SMALL in by_hand else 1)
    assert {spec.run_id for spec in trained} <= {spec.run_id for spec in published()[1].fitted}


def test_the_grid_costs_what_it_says_and_identifies_a_law():
    runs = published()[1]
    assert (len(runs.specs), len(runs.fitted), len(runs.checks), len(runs.targets)) == (72, 57, 15, 6)
    assert not runs.left_out
    assert sum(spec.flops for spec in runs.fitted) == pytest.approx(5.41e13, rel=0.01)
    checks = [spec for spec in runs.specs if spec.run_id in runs.checks]
    assert max(spec.flops for spec in checks) <= 3.5e12
    assert max(spec.optimiser.learning_rate for spec in checks) == 4 * 6e-3
    counts = [float(spec.architecture.count(context=1).non_embedding) for spec in runs.fitted]
    findings = lint_design(np.asarray(counts), np.asarray([float(spec.d_tokens) for spec in runs.fitted]))
    assert not [finding for finding in findings if finding.severity is Severity.REFUSED]


def test_the_targets_stand_at_their_budgets_and_see_no_text_twice():
    runs = published()[1]
    budgets = [1.58e13] * 3 + [5e13] * 3
    assert [spec.flops for spec in runs.targets] == pytest.approx(budgets, rel=0.01)
    sizes = [float(spec.architecture.count(context=1).non_embedding) for spec in runs.targets]
    assert sizes == pytest.approx([2.05e5, 3.64e5, 6.45e5, 4.2e5, 7.5e5, 1.29e6], rel=0.01)
    assert max(spec.d_tokens for spec in runs.targets) < 16e6  # of 16.3M, and data.max_epochs is 1
    assert max(spec.flops for spec in runs.specs) <= 5.1e12


def test_no_span_cuts_through_a_slice():
    """Either all runs of a slice are dear enough to be left out, or none is."""
    runs = published()[1]
    for target in runs.targets:
        for span in (4, 10, 30, 100):
            for budget in (5e10, 1.58e11, 5e11, 1.58e12, 5e12):
                slice_ = [spec.flops for spec in runs.fitted if abs(spec.flops / budget - 1) < 5e-3]
                assert len(slice_) >= 5
                assert len({flops <= target.flops / span for flops in slice_}) == 1


def test_every_law_forecasts_from_every_span():
    settings, runs = published()
    laws = ("auto", "chinchilla", "farseer", "gamma", "kaplan", "tied")
    assert settings.forecasts == ForecastSettings((4.0, 10.0, 30.0, 100.0), laws)
    assert {spec.data.eval_tokens for spec in (*runs.specs, *runs.targets)} == {262144}
