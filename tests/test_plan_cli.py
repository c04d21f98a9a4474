"""`python -m fitting plan` as people type it: stored fits, own runs, JSON, the page, and every refusal in one line."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from planned import BESIROGLU, TRUE, plan, refusal, runner

from fitting.__main__ import app
from fitting.errors import InputError
from fitting.planner.numbers import number
from fitting.planner.request import Known, Request
from fitting.planner.surface import Surface, training_flops


class TestOwnRuns:
    def test_a_stored_law_finds_the_truth_within_its_interval(self, stored):
        found = plan("--fit", stored, "--flops", "1e21")
        n, d = TRUE.optimum(1e21)
        assert found["n_params"]["low"] < n < found["n_params"]["high"]
        assert found["d_tokens"]["low"] < d < found["d_tokens"]["high"]
        assert found["loss"]["low"] < TRUE.loss(n, d) < found["loss"]["high"]
        assert found["loss"]["value"] == pytest.approx(float(TRUE.loss(n, d)), rel=0.02)

    def test_a_plan_says_what_predict_says(self, stored, sweep, tmp_path):
        """The same average of laws, with and without JAX: to the slopes' differences."""
        found = plan("--fit", stored, "--flops", "1e21")
        targets, out = tmp_path / "targets.csv", tmp_path / "out.csv"
        targets.write_text(f"n_params,d_tokens\n{found['n_params']['value']!r},{found['d_tokens']['value']!r}\n")
        arguments = ["predict", "--points", sweep, "--targets", str(targets), "--out", str(out)]
        assert runner.invoke(app, arguments).exit_code == 0
        row = dict(zip(*(line.split(",") for line in out.read_text().splitlines()), strict=True))
        assert found["loss"]["value"] == pytest.approx(float(row["loss"]), rel=1e-9)
        assert found["loss"]["low"] == pytest.approx(float(row["loss_lo90"]), rel=1e-6)
        assert found["loss"]["high"] == pytest.approx(float(row["loss_hi90"]), rel=1e-6)

    def test_points_give_the_same_plan_and_are_fitted_once(self, stored, sweep, monkeypatch):
        from fitting.planner import sources

        one = plan("--points", sweep, "--flops", "1e21")
        assert one["loss"] == plan("--fit", stored, "--flops", "1e21")["loss"]
        monkeypatch.setattr(sources, "fit_belief", lambda *_: pytest.fail("fitted again"))
        assert plan("--points", sweep, "--flops", "1e21") == one

    def test_one_law_can_be_planned_with(self, sweep, tmp_path):
        out = tmp_path / "fit.json"
        assert runner.invoke(app, ["fit", "--points", sweep, "--law", "tied", "--out", str(out)]).exit_code == 0
        found = plan("--fit", str(out), "--flops", "1e21")
        assert found["law"]["name"] == "tied"
        assert found["law"]["status"] == "converged"
        assert found["n_params"]["low"] < found["n_params"]["value"] < found["n_params"]["high"]

    def test_the_runs_tell_speed_text_shape_and_rate(self, stored):
        found = plan("--fit", stored, "--flops", "1e21", "--chip", "h100")
        assert found["bill"]["rates"]["speed"]["source"] == "the largest of the own runs on h100"
        assert 0.28 < found["bill"]["rates"]["speed"]["value"] < 0.30  # 0.2 + 0.01 log10(1e9) for the largest
        assert found["bpb"]["value"] == pytest.approx(found["loss"]["value"] / math.log(2) / 4)
        assert (found["shape"]["vocab_size"], found["shape"]["context"]) == (32_000, 2048)
        assert "0.006 in all 30 runs" in found["recipe"]["own"]

    def test_extrapolation_beyond_four_decades_is_loud(self, stored):
        assert not plan("--fit", stored, "--flops", "1e22")["caveats"]
        far = plan("--fit", stored, "--flops", "1e26")
        assert any("EXTRAPOLATION OF" in caveat for caveat in far["caveats"])
        printed = runner.invoke(app, ["plan", "--fit", stored, "--flops", "1e26"]).stdout
        assert printed.index("CAVEAT") < printed.index("The run")

    def test_runs_on_one_ray_give_no_plan(self, tmp_path):
        rows = [f"{n},{20 * n},{float(TRUE.loss(n, 20 * n))}" for n in np.geomspace(1e6, 1e9, 12)]
        path = tmp_path / "ray.csv"
        path.write_text("\n".join(["n_params,d_tokens,loss", *rows]))
        assert "one D/N ray" in refusal("--points", str(path), "--flops", "1e22")


class TestBudgets:
    def test_dollars_chip_hours_and_days_buy_the_same(self):
        hours = 6000 * 24 * 12
        given = ["--chip", "a100-80gb", "--mfu", "0.4", "--price", "2"]
        by_days = plan(*BESIROGLU, "--days", "12", "--chips", "6000", *given)
        by_hours = plan(*BESIROGLU, "--chip-hours", str(hours), *given)
        by_dollars = plan(*BESIROGLU, "--dollars", str(2 * hours), *given)
        assert by_days["flops"]["value"] == pytest.approx(hours * 3600 * 312e12 * 0.4)
        for other in (by_hours, by_dollars):
            assert other["n_params"] == pytest.approx(by_days["n_params"])
            assert other["loss"] == pytest.approx(by_days["loss"])
        assert by_days["bill"]["dollars"]["value"] == pytest.approx(2 * hours)

    def test_open_rates_widen_what_dollars_buy(self):
        found = plan(*BESIROGLU, "--dollars", "2e6", "--chip", "a100-80gb")
        assert found["flops"]["low"] < 0.6 * found["flops"]["value"] < 1.5 * found["flops"]["high"]
        assert found["bill"]["dollars"] == {"value": 2e6, "low": 2e6, "high": 2e6}
        assert "what the budget buys (MFU, price)" in found["causes"]

    def test_a_target_loss_costs_what_the_law_inverts_to(self):
        found = plan(*BESIROGLU, "--loss", "2.0")
        law = Surface(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
        assert found["flops"]["value"] == pytest.approx(float(law.flops_for(2.0)), rel=1e-9)
        assert found["loss"]["value"] == pytest.approx(2.0)

    def test_n_or_d_is_completed(self):
        law = Surface(1.8172, 482.01, 2085.43, 0.3478, 0.3658)
        assert plan(*BESIROGLU, "--n", "7e9")["d_tokens"]["value"] == pytest.approx(float(law.tokens_suiting(7e9)))
        assert plan(*BESIROGLU, "--d", "1e12")["n_params"]["value"] == pytest.approx(float(law.size_suiting(1e12)))
        with_loss = plan(*BESIROGLU, "--n", "7e9", "--loss", "2.2")
        assert with_loss["d_tokens"]["value"] == pytest.approx(float(law.tokens_for(7e9, 2.2)))
        with_flops = plan(*BESIROGLU, "--d", "1e12", "--flops", "1e23")
        assert with_flops["n_params"]["value"] == pytest.approx(1e23 / 6e12)
        assert with_flops["off"]["wasted"]["value"] > 0

    def test_the_exact_count_spends_the_whole_budget(self):
        found = plan(*BESIROGLU, "--flops", "1e20", "--count", "exact", "--vocab", "32000", "--context", "2048")
        assert found["cost_name"] == "exact"
        assert found["flops_exact"]["value"] == pytest.approx(1e20, rel=0.05)  # of the built shape
        assert found["flops"]["value"] < 1e20
        assert training_flops(found["n_params"]["value"], found["d_tokens"]["value"]) == pytest.approx(
            found["flops"]["value"]
        )

    def test_chips_and_days_complete_each_other(self):
        days = plan(*BESIROGLU, "--flops", "1e23", "--chips", "1000", "--mfu", "0.4")["bill"]["days"]["value"]
        chips = plan(*BESIROGLU, "--flops", "1e23", "--days", str(days), "--mfu", "0.4")["bill"]["chips"]["value"]
        assert chips == pytest.approx(1000)

    def test_too_few_chips_and_too_many_are_named(self):
        few = plan(*BESIROGLU, "--flops", "1e24", "--chips", "4")["caveats"]
        assert any("4 chips are fewer than" in caveat for caveat in few)
        many = plan(*BESIROGLU, "--flops", "1e22", "--chips", "1e5")["caveats"]
        assert any("teaches less a token" in caveat for caveat in many)

    def test_a_chip_of_ones_own(self, tmp_path):
        path = tmp_path / "chips.yaml"
        path.write_text("- {name: mine, peak_flops: 1e15, memory: 96e9, bandwidth: 4e12, price: 1.5}\n")
        found = plan(*BESIROGLU, "--flops", "1e22", "--chip", "mine", "--chips-file", str(path))
        assert found["bill"]["rates"]["price"] == [1.5, 1.5, 1.5]
        assert "assumption" in found["bill"]["rates"]["speed"]["source"]
        assert found["bill"]["megawatt_hours"] is None


REFUSED = [
    ([], "nothing to plan for"),
    (["--flops", "1e22"], "where does the law come from"),
    ([*BESIROGLU, "--flops", "1e22", "--fit", "x.json"], "got --fit and --law-constants"),
    ([*BESIROGLU, "--flops", "1e22", "--dollars", "5"], "--flops and --dollars both say"),
    ([*BESIROGLU, "--flops", "1e22", "--days", "5", "--chips", "8"], "both say what may be spent"),
    ([*BESIROGLU, "--loss", "1.8"], "stays above 1.8172"),
    ([*BESIROGLU, "--n", "7e9", "--loss", "1.9"], "with 7e+09 parameters: this law's loss stays above 1.9987"),
    ([*BESIROGLU, "--d", "1e9", "--loss", "1.9"], "with 1e+09 tokens"),
    ([*BESIROGLU, "--flops", "1e22", "--loss", "2"], "with a budget the loss is the answer"),
    ([*BESIROGLU, "--flops", "1e22", "--chips", "0"], "--chips is 0; allowed is above 0"),
    ([*BESIROGLU, "--flops", "1e22", "--chips", "1.5"], "allowed are whole numbers"),
    ([*BESIROGLU, "--flops", "nan"], "--flops is nan"),
    ([*BESIROGLU, "--flops", "1"], "allowed is 1e+06 and more"),
    ([*BESIROGLU, "--flops", "1e22", "--chip", "abacus"], "--chip is 'abacus'; known are a100-40gb"),
    ([*BESIROGLU, "--flops", "1e22", "--mfu", "40"], "--mfu is 40; allowed is above 0 and at most 1"),
    ([*BESIROGLU, "--flops", "1e22", "--count", "7nd"], "allowed are 6nd, exact"),
    ([*BESIROGLU, "--dollars", "1e6"], "need --chip"),
    ([*BESIROGLU, "--n", "7e9", "--d", "1e12", "--flops", "1e20"], "leave --flops out"),
    (
        [*BESIROGLU, "--n", "7e9", "--d", "1e12", "--chip-hours", "1e5", "--mfu", "0.4", "--chip", "h100"],
        "says the MFU",
    ),
    ([*BESIROGLU, "--n", "7e10", "--d", "2e12", "--chip-hours", "9", "--chip", "h100"], "impossible"),
    ([*BESIROGLU, "--n", "1e15", "--flops", "1e14"], "leaves 0.017 tokens"),
    ([*BESIROGLU, "--flops", "1e22", "--change", "2", "1.7"], "stays above 1.8172"),
    (["--law-constants", "kaplan", "--flops", "1e22"], "choose one of hoffmann-tex"),
    ([*BESIROGLU, "--flops", "1e22", "--where", "flops < 1"], "--where is about --points"),
    ([*BESIROGLU, "--flops", "1e22", "--serve-mfu", "0.3"], "say --serve-tokens too"),
    ([*BESIROGLU, "--flops", "1e22", "--out", "plan.pdf"], "name it plan.html"),
    ([*BESIROGLU, "--loss", "25"], "--loss is 25; allowed is above 0 and at most 20"),
    ([*BESIROGLU, "--flops", "1e22", "--chip", "a100"], "did you mean"),
    (["--fit", "nowhere.json", "--flops", "1e22"], "No such file"),
    (["--points", "nowhere.csv", "--flops", "1e22"], "no such file"),
    ([*BESIROGLU, "--flops", "1e22", "--out", "/nowhere/plan.html"], "give a file in a folder that can be written"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_cannot_be_planned_gets_one_line(arguments, words):
    assert words in refusal(*arguments)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"planner": {"format": 99}}', '{"planner": {"format": 1}}', "\x00"])
def test_a_damaged_law_file_gets_one_line(text, tmp_path):
    path = tmp_path / "law.json"
    path.write_text(text)
    assert "law.json" in refusal("--fit", str(path), "--flops", "1e22")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 3",
        "{a: 1}",
        "- {name: x}",
        "- {name: x, peak_flops: fast, memory: 1, bandwidth: 1}",
        "- {name: x, peak_flops: -1, memory: 1, bandwidth: 1}",
        "- {name: x, peak_flops: 1, memory: 1, bandwidth: 1, price: [3, 2, 1]}",
        "- {name: x, peak_flops: 1, memory: 1, bandwidth: 1, color: red}",
        "\t",
    ],
)
def test_a_damaged_chips_file_gets_one_line(text, tmp_path):
    path = tmp_path / "chips.yaml"
    path.write_text(text)
    refusal(*BESIROGLU, "--flops", "1e22", "--chips-file", str(path))


def test_through_the_real_command_line(tmp_path):
    """Exit code 2, one line on standard error, no traceback; and a good plan without JAX in sight."""
    import subprocess
    import sys

    bad = subprocess.run(
        [sys.executable, "-m", "fitting", "plan", *BESIROGLU, "--loss", "1.5"], capture_output=True, text=True
    )
    assert (bad.returncode, bad.stdout) == (2, "")
    assert re.fullmatch(r"error: --loss 1\.5 cannot be reached .*\n", bad.stderr)
    program = (
        "import sys; sys.argv = ['fitting', 'plan', '--law-constants', 'besiroglu', '--flops', '1e22']\n"
        "from fitting.__main__ import app\n"
        "app(standalone_mode=False)\n"
        "assert 'jax' not in sys.modules, 'a plan must not wait for JAX'\n"
    )
    good = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert good.returncode == 0, good.stderr
    assert "The run" in good.stdout


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("70B", 70e9),
        ("2t", 2e12),
        ("6,000", 6000),
        ("40%", 0.4),
        ("$2.5M", 2.5e6),
        ("1e24", 1e24),
        (".5", 0.5),
        ("-3", -3),
    ],
)
def test_numbers_are_read_as_people_type_them(text, value):
    assert number(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "abc", "7 8", "1e", "70X", "--", "1.2.3", "B"])
def test_what_is_no_number_is_refused_with_an_example(text):
    with pytest.raises(InputError, match="is no number; write 70e9 or 70B"):
        number(text)


def test_words_where_numbers_belong_get_one_line():
    import subprocess
    import sys

    command = [sys.executable, "-m", "fitting", "plan", *BESIROGLU, "--flops", "lots"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: Invalid value for '--flops': 'lots' is no number; write 70e9 or 70B, 6000 or 6,000, 0.4 or 40%\n"
    )


def test_a_floor_is_told_with_its_range():
    said = refusal(*BESIROGLU, "--loss", "1.8")
    assert "stays above 1.8172 (1.6900 .. 1.8691; 50% of its draws go below 1.8)" in said


def test_what_is_known_is_told_apart():
    assert Request(flops=1e22).known is Known.COMPUTE
    assert Request(days=3, chips=8).known is Known.COMPUTE
    assert Request(n_params=1e9, flops=1e22).known is Known.COMPUTE
    assert Request(loss=2.0, n_params=1e9).known is Known.LOSS
    assert Request(n_params=1e9, days=3).known is Known.SIZE
    assert Request(d_tokens=1e9).known is Known.HORIZON
    assert Request(n_params=1e9, d_tokens=1e10, days=3, chips=8).known is Known.RUN
