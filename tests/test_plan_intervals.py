"""What a plan's intervals mean: draws that fit their runs, levels from the calibrated band, budgets that move a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planned import BESIROGLU, TRUE, plan

from fitting.planner.own_runs import own_runs
from fitting.planner.stored import read_law
from fitting.planner.surface import Surface


class TestIntervals:
    def test_causes_add_up_to_the_interval(self, stored):
        """Of the average: the parts of the variance make the half-width of the band, 1.645 standard deviations."""
        law = read_law(Path(stored)).belief
        value, _, high = law.loss_band(5e9, 1e11)
        parts = law.loss_variance(5e9, 1e11)
        assert np.sqrt(sum(parts.values())) * 1.6448536 == pytest.approx(np.log(high / value), rel=1e-6)

    def test_own_mfu_is_turned_into_that_of_6nd(self):
        """A record's MFU is by exact FLOPs: where they are twice 6ND, hours by 6ND are twice as slow."""
        table = {"n_params": [1e9], "d_tokens": [2e10], "flops": [2.4e20], "mfu": [0.4], "device": ["NVIDIA H200"]}
        found = own_runs({name: np.asarray(values) for name, values in table.items()}).mfu
        assert found is not None
        assert found["h200"] == pytest.approx((0.2, 0.2, 0.2, 1e9))

    def test_drawn_laws_fit_the_runs_they_come_from(self, stored):
        """Laplace draws missed the largest runs by a median of 4%, and all on one side of them."""
        law = read_law(Path(stored)).belief
        draws = law.draws(law.provenance.largest_flops * 10)
        n, d = TRUE.optimum(law.provenance.largest_flops)
        misses = np.log(draws.loss(n, d) / TRUE.loss(n, d))
        assert np.median(np.abs(misses)) < 0.02
        assert 0.25 < np.mean(misses > 0) < 0.75

    def test_a_target_loss_is_reached_at_the_compute_that_its_own_forecast_says(self, stored):
        """Shocks of the calibrated band: the least compute is that whose forecast's upper end is the target."""
        found = plan("--fit", stored, "--loss", "2.5")
        truth = float(TRUE.flops_for(2.5))
        assert found["flops"]["low"] < truth < found["flops"]["high"]
        assert found["flops"]["high"] < 10 * found["flops"]["value"]

    def test_a_certain_budget_gives_the_band_of_its_flops_whatever_it_is_called(self):
        given = ["--law-constants", "muennighoff", "--mfu", "0.4", "--chip", "a100-80gb"]
        hours = plan(*given, "--chip-hours", "1e6")
        same = plan(*given, "--flops", repr(hours["flops"]["value"]))
        assert hours["loss"]["low"] == pytest.approx(same["loss"]["low"], rel=2e-3)
        assert hours["loss"]["high"] == pytest.approx(same["loss"]["high"], rel=2e-3)

    def test_dollars_move_only_what_was_left_open(self):
        """N given: D alone follows the budget, and the loss moves by what D is worth."""
        found = plan(*BESIROGLU, "--dollars", "2e4", "--chip", "a100-80gb", "--n", "1e8")
        law = Surface(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
        floor = float(law.loss(1e8, 1e30))
        assert found["loss"]["value"] - floor < 0.08
        assert found["n_params"]["low"] == found["n_params"]["high"] == 1e8
        assert found["causes"]["what the budget buys (MFU, price)"] < 0.1

    def test_a_model_far_too_small_for_its_text_is_served_by_a_larger_one(self):
        found = plan(*BESIROGLU, "--n", "1e9", "--d", "1e13", "--serve-tokens", "1e12")
        assert found["served"]["n_params"]["value"] == pytest.approx(2.31e9, rel=0.01)  # brute force over sizes
        assert found["served"]["saving"]["value"] == pytest.approx(0.85, abs=0.01)

    def test_the_exact_count_is_billed_at_the_mfu_of_6nd(self):
        run = [*BESIROGLU, "--n", "6.74e9", "--d", "2e12", "--chip", "a100-80gb"]
        reached = plan(*run, "--chip-hours", "184320")["bill"]["rates"]["speed"]["value"]
        for count in ("6nd", "exact"):
            hours = plan(*run, "--mfu", repr(reached), "--count", count)["bill"]["chip_hours"]["value"]
            assert hours == pytest.approx(184_320, rel=1e-6)

    def test_draws_follow_the_count_of_the_point(self):
        found = plan(*BESIROGLU, "--n", "1e8", "--count", "exact", "--vocab", "32000")["d_tokens"]
        six = plan(*BESIROGLU, "--n", "1e8", "--vocab", "32000")["d_tokens"]
        assert found["high"] / found["low"] == pytest.approx(six["high"] / six["low"], rel=0.05)
        assert found["value"] > six["value"]

    def test_what_lies_far_below_the_runs_is_said(self):
        small = plan(*BESIROGLU, "--flops", "1e7")["caveats"]
        assert any("times less than the smallest run" in caveat for caveat in small)
        assert any("worse than guessing" in caveat for caveat in small)
        assert plan(*BESIROGLU, "--n", "1e4", "--flops", "1e18")["shape"] is None

    def test_a_change_for_the_worse_costs_compute(self):
        worse = plan(*BESIROGLU, "--flops", "1e22", "--change", "2.0", "2.1")["multiplier"]
        assert worse["low"] <= worse["value"] <= worse["high"] < 1
