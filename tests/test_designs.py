"""Designs: every YAML of conf/design gives legal runs, each once, within its limits; each design asks its question."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from hydra import compose, initialize_config_module

from fitting.errors import InputError
from fitting.lint import Severity, lint_design
from sweep.config import ForecastSettings, sweep_settings
from sweep.data.manifest import CorpusInfo
from sweep.designs.design import design_names
from sweep.expand import Expanded, expanded
from sweep.spec import RunSpec
from sweep.trunks import with_trunks

YAMLS = sorted(file.stem for file in (ROOT / "conf" / "design").glob("[!_]*.yaml"))
CORPUS = CorpusInfo.stand_in("python_source", 1024)


def design(name: str, *overrides: str, axes: dict | None = None) -> Expanded:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=[f"design={name}", *overrides])
    return expanded(config, sweep_settings(config), axes or {}, CORPUS)


def n_of(spec: RunSpec) -> int:
    return spec.architecture.count(context=1).non_embedding


@pytest.fixture
def chosen(tmp_path: Path) -> str:
    path = tmp_path / "next.csv"
    path.write_text("n_params,d_tokens,flops\n1e5,2e6,1.2e12\n3e5,1e6,1.8e12\n")
    return str(path)


def test_there_is_one_yaml_a_design():
    assert design_names() == YAMLS


@pytest.mark.parametrize("name", YAMLS)
class TestEveryDesign:
    """The contract."""

    def overrides(self, name: str, chosen: str) -> list[str]:
        return [f"design.file={chosen}"] if name == "next" else []

    def test_runs_are_legal_and_none_is_doubled(self, name, chosen):
        runs = design(name, *self.overrides(name, chosen))
        assert runs.specs
        assert len({spec.run_id for spec in runs.specs}) == len(runs.specs)
        assert all(spec.flops > 0 and spec.steps >= 1 for spec in runs.specs)

    def test_the_same_design_gives_the_same_runs(self, name, chosen):
        twice = [design(name, *self.overrides(name, chosen)).specs for _ in range(2)]
        assert twice[0] == twice[1]

    def test_the_total_stays_under_its_limit_and_what_is_left_out_is_said(self, name, chosen):
        whole = design(name, *self.overrides(name, chosen)).specs
        total = sum(spec.flops for spec in whole)
        if len(whole) == 1:
            return
        runs = design(name, *self.overrides(name, chosen), f"design.max_flops={0.7 * total}")
        assert sum(spec.flops for spec in runs.specs) <= 0.7 * total
        left_out = [spec.flops for spec in whole if spec not in runs.specs]
        assert min(left_out) >= max(spec.flops for spec in runs.specs)  # the dearest go first
        assert any("design.max_flops" in sentence for sentence in runs.left_out)

    def test_axes_repeat_every_run(self, name, chosen):
        alone = design(name, *self.overrides(name, chosen)).specs
        both = design(name, *self.overrides(name, chosen), axes={"optimiser.weight_decay": [0.1, 0.2]}).specs
        assert len(both) == 2 * len(alone)

    def test_a_target_is_never_one_of_the_runs(self, name, chosen):
        runs = design(name, *self.overrides(name, chosen), "design.target={model.n: 1e5, data.tokens: 2e6}")
        (target,) = runs.targets
        assert target.run_id not in {spec.run_id for spec in runs.specs}

    def test_designs_for_laws_identify_one(self, name, chosen):
        runs = design(name, *self.overrides(name, chosen))
        if not runs.for_a_law or name in ("grid", "next"):  # whose runs are the user's
            return
        findings = lint_design(np.asarray([n_of(s) for s in runs.specs]), np.asarray([s.d_tokens for s in runs.specs]))
        assert not [finding for finding in findings if finding.severity is Severity.REFUSED]


def test_isoflop_runs_of_one_budget_cost_it_exactly():
    """By the exact count of FLOPs; D is rounded to whole steps of 256 tokens."""
    runs = design("isoflop", "design.budgets=[1e12,4e12]", "design.sizes=5", "design.tokens_per_param=null")
    budgets = Counter(min((1e12, 4e12), key=lambda budget: abs(np.log(spec.flops / budget))) for spec in runs.specs)
    assert budgets == {1e12: 5, 4e12: 5}
    for spec in runs.specs:
        budget = min((1e12, 4e12), key=lambda budget: abs(np.log(spec.flops / budget)))
        assert spec.flops == pytest.approx(budget, rel=2e-3)


def test_isoflop_sizes_surround_the_guess():
    runs = design("isoflop", "design.budgets=[1e15]", "design.sizes=3", "design.step=4", "design.guess=20")
    sizes = [n_of(spec) for spec in runs.specs]
    middle = (1e15 / 120) ** 0.5  # 6 N (20 N) = C
    assert sizes == pytest.approx([middle / 4, middle, middle * 4], rel=0.02)


def test_a_ladder_stands_at_its_multiples():
    runs = design("ladder", "design.sizes=[1e5,1e6]", "design.multiples=[1,3]", "design.ratio=20")
    ratios = [spec.d_tokens / n_of(spec) for spec in runs.specs]
    assert ratios == pytest.approx([20, 60, 20, 60], rel=0.01)


def test_horizons_of_one_size_share_a_trunk():
    runs = design("horizons", "design.sizes=[1e5]", "design.horizons=4")
    works = with_trunks(list(runs.specs))
    forked = {spec.run_id for work in works for _, specs in work.forks for spec in specs}
    assert len(forked) == 3  # all but the longest, which is the trunk


def test_horizons_need_a_schedule_that_can_be_shared():
    with pytest.raises(InputError, match=r"takes schedule=wsd; schedule\.kind is 'cosine'"):
        design("horizons", "schedule=cosine")


def test_rates_are_multiples_of_the_configured_one():
    runs = design("lr", "optimiser.learning_rate=0.01", "design.sizes=[1e4]", "design.multiples=[0.5,1,2]")
    assert [spec.optimiser.learning_rate for spec in runs.specs] == pytest.approx([0.005, 0.01, 0.02])
    assert not runs.for_a_law


def test_seeds_change_initial_values_and_order():
    runs = design("seeds", "seed=7", "design.sizes=[1e4]", "design.seeds=3")
    assert [(spec.seed, spec.data.seed) for spec in runs.specs] == [(7, 0), (8, 1), (9, 2)]


def test_next_trains_what_was_chosen(chosen):
    runs = design("next", f"design.file={chosen}")
    assert [n_of(spec) for spec in runs.specs] == pytest.approx([1e5, 3e5], rel=0.02)
    assert [spec.d_tokens for spec in runs.specs] == pytest.approx([2e6, 1e6], rel=1e-3)


def test_corners_and_duplicates_are_left_out_with_a_sentence():
    runs = design("ladder", "design.sizes=[1e5,1e5]", "design.multiples=[1,4]", "design.tokens_per_param=[1,50]")
    assert len(runs.specs) == 1
    assert runs.left_out[0].startswith("2 runs are the same as others")
    assert runs.left_out[1].startswith("1 run have D/N outside of 1 .. 50") or "D/N outside" in runs.left_out[1]


def test_several_targets_are_told_apart_and_none_is_one_of_the_runs():
    target = "{model.n: 1e5, data.tokens: 2e6}"
    several = f"design.target=[{target},{{model.n: 2e5, data.tokens: 3e6}},{target}]"
    runs = design("ladder", several, "design.sizes=[1e5]", "design.multiples=[1,3]", "design.ratio=20")
    assert [n_of(spec) for spec in runs.targets] == pytest.approx([1e5, 2e5], rel=0.02)
    assert [spec.d_tokens for spec in runs.specs] == pytest.approx([2e6, 6e6], rel=0.02)
    first = runs.specs[0]
    exactly = f"design.target={{model.n: 1e5, data.tokens: {first.d_tokens}}}"
    runs = design("ladder", exactly, "design.sizes=[1e5]", "design.multiples=[1,3]", "design.ratio=20")
    assert runs.targets == (first,)
    assert first not in runs.specs


def test_all_laws_are_the_average_and_every_law_of_the_loss_over_n_and_d():
    with initialize_config_module("conf", version_base="1.3"):
        wishes = sweep_settings(compose("config", overrides=["design.laws=all", "design.spans=[4,10]"])).forecasts
        named = sweep_settings(compose("config", overrides=["design.laws=[gamma,auto,gamma]"])).forecasts
        silent = sweep_settings(compose("config")).forecasts
    assert wishes.spans == (4.0, 10.0)
    assert wishes.laws == ("auto", "chinchilla", "farseer", "gamma", "kaplan", "tied")
    assert named.laws == ("gamma", "auto")
    assert silent == ForecastSettings((), None)


@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        ("isoflop", "design.budgets=[]", "design.budgets"),
        ("isoflop", "design.budgets=[1e12,many]", "design.budgets"),
        ("isoflop", "design.sizes=2", "design.sizes is 2"),
        ("isoflop", "design.step=1", "design.step is 1"),
        ("ladder", "design.sizes=null", "design.sizes is None"),
        ("ladder", "design.sizes=[1]", "model.n is 1"),
        ("horizons", "design.horizons=0", "design.horizons is 0"),
        ("lr", "design.multiples=[-1]", "design.multiples"),
        ("seeds", "design.seeds=1", "design.seeds is 1"),
        ("next", "design.file=null", "design=next needs design.file"),
        ("next", "design.file=/no/such.csv", "no such file"),
        ("grid", "design.target=5", "design.target holds '5'; allowed is a mapping"),
        ("grid", "design.target=[{model.n: 1e5},7]", "design.target holds '7'; allowed is a mapping"),
        ("grid", "design.target=[{model.q: 1e5}]", "model.q is not a setting"),
        ("grid", "design.spans=[4,1]", "design.spans is [4, 1]; allowed are numbers from 1.001"),
        ("grid", "design.laws=[auto,zipf]", "design.laws holds 'zipf'; allowed are all, auto"),
        ("grid", "design.max_run_flops=1", "every run of the design is left out"),
    ],
)
def test_a_bad_setting_is_named(name, override, words):
    with pytest.raises(InputError) as caught:
        design(name, override)
    assert words in str(caught.value)
