"""Designs: every YAML of conf/design gives legal runs, each once, within its limits; each design asks its question."""

from __future__ import annotations

import dataclasses
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
SLICES = "slices: {design: isoflop, budgets: [3e11,1e12], sizes: 3}"
NOISE = "noise: {design: seeds, sizes: [3e4], seeds: 3}"
RATES = "rates: {design: lr, sizes: [3e4], multiples: [0.5,2], check: true}"
PARTS = f"design.parts={{{SLICES}, {NOISE}, {RATES}}}"
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
        own = {"next": [f"design.file={chosen}"], "parts": [PARTS]}
        return own.get(name, [])

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


def test_isoflop_asks_of_the_corpus_what_its_runs_need_and_no_more():
    """The guess times the largest size would be twice the longest run."""
    runs = design("isoflop").specs
    small = dataclasses.replace(CORPUS, train_tokens=max(spec.d_tokens for spec in runs))
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=["design=isoflop"])
    again = expanded(config, sweep_settings(config), {}, small).specs
    assert [(n_of(spec), spec.d_tokens) for spec in again] == [(n_of(spec), spec.d_tokens) for spec in runs]


def test_a_design_does_without_the_runs_that_ask_for_more_text_than_there_is():
    slices = ["design.budgets=[1e12,4e12]", "design.sizes=5", "design.tokens_per_param=null"]
    whole = design("isoflop", *slices, "data.max_epochs=10")
    cut = design("isoflop", *slices, "data.max_epochs=1", "data.unique_tokens=2e6")
    kept = {(n_of(spec), spec.d_tokens) for spec in whole.specs if spec.d_tokens <= 2e6}
    assert {(n_of(spec), spec.d_tokens) for spec in cut.specs} == kept
    assert 3 < len(kept) < len(whole.specs)
    (sentence,) = cut.left_out
    assert sentence.startswith(f"{len(whole.specs) - len(kept)} runs of the design ask for more text than there is")
    with pytest.raises(InputError, match="epochs of 2,000 unique tokens"):
        design("isoflop", *slices, "data.max_epochs=1", "data.unique_tokens=2e3")


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
    assert "D/N outside of 1 .. 50" in runs.left_out[1]


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


class TestParts:
    """Several designs in one sweep."""

    def test_the_runs_of_a_part_are_those_of_its_design_alone(self):
        settings = ["design.budgets=[1e12,4e12]", "design.sizes=3", "design.step=4", "design.tokens_per_param=null"]
        part = "design: isoflop, budgets: [1e12,4e12], sizes: 3, step: 4"
        assert design("parts", f"design.parts={{a: {{{part}}}}}").specs == design("isoflop", *settings).specs
        seeded = design("parts", f"design.parts={{a: {{{part}, overrides: {{seed: 3, data.seed: 1}}}}}}")
        assert seeded.specs == design("isoflop", *settings, "seed=3", "data.seed=1").specs

    def test_seeds_of_a_part_count_from_its_own(self):
        runs = design("parts", "design.parts={a: {design: seeds, sizes: [3e4], seeds: 2, overrides: {seed: 5}}}")
        assert [(spec.seed, spec.data.seed) for spec in runs.specs] == [(5, 0), (6, 1)]

    def test_a_setting_that_refers_to_another_is_resolved_for_each_run(self):
        """OmegaConf is asked then, which does not know the settings of a part."""
        refers = ("optimiser.batch_sequences=${data.sequence}", "data.sequence=32")
        parts = "{a: {design: ladder, sizes: [3e4], ratio: 30, multiples: [1]}, b: {design: isoflop, budgets: [1e12]}}"
        runs = design("parts", f"design.parts={parts}", *refers)
        assert {spec.batch_sequences for spec in runs.specs} == {32}
        ladder = design("ladder", "design.sizes=[3e4]", "design.ratio=30", "design.multiples=[1]", *refers)
        slices = design("isoflop", "design.budgets=[1e12]", "design.tokens_per_param=null", *refers)
        assert runs.specs == (*ladder.specs, *slices.specs)
        seeds = "design.parts={a: {design: seeds, sizes: [3e4], seeds: 2}, b: {design: seeds, sizes: [4e4], seeds: 2}}"
        runs = design("parts", seeds, "seed=${data.sequence}", "optimiser.weight_decay=${data.sequence}", refers[1])
        assert [spec.seed for spec in runs.specs] == [32, 33, 32, 33]
        budget = "design.parts={a: {design: isoflop, budgets: ['${design.max_run_flops}'], sizes: 3}}"
        runs = design("parts", budget, "design.max_run_flops=4e12")
        assert max(spec.flops for spec in runs.specs) == pytest.approx(4e12, rel=0.01)

    def test_parts_stand_side_by_side_in_their_order(self):
        runs = design("parts", PARTS)
        assert [runs.role_of(spec) for spec in runs.specs] == ["fit"] * (6 + 3) + ["check"] * 2
        assert runs.fitted == runs.specs[:9]
        assert runs.for_a_law

    def test_a_run_that_is_in_a_part_of_each_kind_is_fitted(self):
        """The default rate is a point of both."""
        ladder = "{design: ladder, sizes: [3e4], multiples: [1]}"
        rates = "{design: lr, sizes: [3e4], multiples: [0.5,1], check: true}"
        for parts in (f"{{a: {ladder}, b: {rates}}}", f"{{b: {rates}, a: {ladder}}}"):
            runs = design("parts", f"design.parts={parts}")
            assert len(runs.specs) == 2
            assert len(runs.checks) == 1
            assert runs.fitted == design("ladder", "design.sizes=[3e4]", "design.multiples=[1]").specs

    def test_a_target_is_a_target_wherever_else_it_stands(self):
        rate = design("lr", "design.sizes=[3e4]", "design.multiples=[2]").specs[0]
        asked = f"model.n: 3e4, data.tokens_per_param: 20, optimiser.learning_rate: {rate.optimiser.learning_rate}"
        runs = design("parts", PARTS, f"design.target={{{asked}}}")
        assert runs.targets == (rate,)
        assert [runs.role_of(spec) for spec in runs.targets] == ["target"]
        assert len(runs.checks) == 1

    def test_limits_are_of_all_parts_together(self):
        runs = design("parts", PARTS, "design.tokens_per_param=[15,25]")
        assert all(15 <= spec.d_tokens / n_of(spec) <= 25 for spec in runs.specs)
        assert any("D/N outside" in sentence for sentence in runs.left_out)

    @pytest.mark.parametrize(
        ("parts", "words"),
        [
            ("null", "design=parts needs design.parts"),
            ("[1]", "design.parts is [1]; allowed is a mapping"),
            ("{a: 3}", "design.parts.a: '3' is no part"),
            ("{a: {sizes: 3}}", "design.parts.a: \"{'sizes': 3}\" is no part"),
            ("{a: {design: zigzag}}", "design.parts.a: design.name is 'zigzag'; allowed are grid"),
            ("{a: {design: parts}}", "a part cannot have parts"),
            ("{a: {design: isoflop, rungs: 3}}", "design.parts.a: rungs is no setting of a part of design isoflop"),
            ("{a: {design: isoflop, max_flops: 3}}", "max_flops is no setting of a part of design isoflop"),
            ("{a: {design: isoflop, sizes: 2}}", "design.parts.a: design.sizes is 2"),
            ("{a: {design: lr, overrides: {model.q: 1}}}", "design.parts.a: model.q is not a setting"),
            ("{a: {design: lr, overrides: {store: other}}}", "store is a setting of the whole sweep"),
            ("{a: {design: lr, overrides: [1]}}", "overrides is [1]"),
            ("{a: {design: lr, check: maybe}}", "check is 'maybe'"),
        ],
    )
    def test_a_bad_part_is_named(self, parts, words):
        with pytest.raises(InputError) as caught:
            design("parts", f"design.parts={parts}")
        assert words in str(caught.value)
