"""python -m sweep as a user types it: grids, bad values, reruns, Ctrl-C, forecasts, stock Hydra launchers."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from many_commands import refusals

from results.planned import sweep_plans
from results.record import RunStatus
from results.store import Store

TINY = ["data.tokenizer=bytes", "data.sequence=16", "data.eval_tokens=2048", "optimiser.batch_sequences=8"]
TINY += ["data.max_epochs=10"]


def command(text_folder: Path, store: Path, *arguments: str) -> list[str]:
    base = [sys.executable, "-m", "sweep", "data=text", f"data.path={text_folder}", f"store={store}"]
    return [*base, *TINY, *arguments]


def run(text_folder: Path, store: Path, *arguments: str, expected: int = 0) -> str:
    done = subprocess.run(command(text_folder, store, *arguments), capture_output=True, text=True, timeout=300)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout if expected == 0 else done.stderr


BAD: dict[str, str | None] = {
    "model.n=abc": "model.n is 'abc'; allowed is a whole number from 2000 to 2e+12",
    "model.n=1e5.5": "model.n is '1e5.5'",
    "model.n=10000.5": "model.n is 10000.5; allowed is a whole number",
    "model.n=1.5": "model.n is 1.5; allowed is a whole number",
    "model.n=-3": "model.n is -3",
    "model.n=1e30": "model.n is 1e+30",
    "--dry-run": "unrecognized arguments: --dry-run; settings are given as NAME=VALUE, such as dry_run=true",
    "--model.n=3": "such as model.n=3 (--help lists them)",
    "-z": "such as model.n=1e6",
    "model.n=null": "model.n is None",
    "model.n=true": "model.n is True",
    "model.m=1e5": "model.m is not a setting; did you mean model.mlp or model.n?",
    "model=mamba": "model=mamba is no choice; known are decoder",
    "data.tokns=1e6": "data.tokns is not a setting; did you mean data.tokens",
    "desing=isoflop": "desing is not a setting; did you mean design?",
    "design=isflop": "design=isflop is no choice; did you mean isoflop? known are grid, horizons, isoflop, ladder, lr",
    "data.tokens=-1": "data.tokens is -1; allowed is a number from 1",
    "data.tokens=lots": "data.tokens is 'lots'",
    "data.vocab_size=1.5": "data.vocab_size is 1.5",
    "data.path=/no/such/folder": "'/no/such/folder' is not there",
    "data.tokenizer=words": "allowed are bytes, bpe, none",
    "data.sequence=1": "data.sequence is 1",
    "optimiser.learning_rate=0": "optimiser.learning_rate is 0",
    "optimiser.beta2=1": "optimiser.beta2 is 1",
    "schedule.kind=step": "schedule.kind is 'step'; allowed are wsd, cosine, linear",
    "launcher.workers=0": "launcher.workers is 0",
    "launcher.pack=0": "launcher.pack is 0",
    "launcher.processes=1.5": "launcher.processes is 1.5",
    "schedule.warmup_steps=-1": "schedule.warmup_steps is -1",
    "optimiser.kind=sgd": "optimiser.kind is 'sgd'; allowed are adamw, muon",
    "optimiser.z_loss=2": "optimiser.z_loss is 2",
    "precision=float16": "precision is 'float16'; allowed are float32, bfloat16",
    "model.mlp=relu": "model.mlp is 'relu'; allowed are squared_relu, gelu, swiglu",
    "model.tied=maybe": "model.tied is 'maybe'; allowed are true and false",
    "model.experts_per_token=2": "model.experts_per_token is 2",
    "data.max_epochs=1": "epochs of",
    "data.unique_tokens=1e9": "data.unique_tokens is 1,000,000,000; allowed is data.sequence 16 to the",
    "data.eval_tokens=1e9": "data.eval_tokens is 1,000,000,000; the held-out split has",
    "data.mixture={text:.5}": "data.mixture adds up to 0.5",
    "data.mixture={code:1}": "data.mixture names code; the domains of the corpus are text",
    "data.curriculum={5:{text:1}}": "data.curriculum does not begin at step 0",
    "data.source=web": "data.source is 'web'; allowed are text, jsonl",
    "evaluation.tasks=[riddles]": "evaluation.tasks holds 'riddles'; allowed are bundled",
    "evaluation.tasks=/no/such.jsonl": "/no/such.jsonl",
    "data.tokenizer=/no/such.json": "data.tokenizer '/no/such.json' cannot be read",
    "mesh.remat=all": "mesh.remat is 'all'; allowed are none, dots, block",
    "mesh.data=0": "mesh.data is 0",
    "mesh.accumulation=3": "mesh.accumulation 3; allowed are multiples of 3",
    "name=../../x": "name is '../../x'",
    "design.max_flops=1": "every run of the design is left out",
    "design.max_run_flops=1": "every run of the design is left out",
    "design.tokens_per_param=[5]": "allowed are two numbers",
    "design.axes={model.q:[1]}": "model.q is not a setting",
    "design.target={model.n:abc}": "model.n is 'abc'",
    "store=/proc/nothing": "cannot be written",
    "model.n=1e4 data.tokens=1e4": None,  # not two arguments but one malformed
}


@pytest.fixture(scope="module")
def refused(text_folder, tmp_path_factory) -> dict[str, tuple[int, str, bool]]:
    """By bad value: exit code, standard error, and whether a run was left behind."""
    stores = {argument: tmp_path_factory.mktemp("refused") / "store" for argument in BAD}
    told = refusals([command(text_folder, store, argument)[3:] for argument, store in stores.items()])
    runs = [(store / "runs").exists() and any((store / "runs").iterdir()) for store in stores.values()]
    return {argument: (*one, left) for argument, one, left in zip(BAD, told, runs, strict=True)}


@pytest.mark.parametrize("argument", BAD)
def test_bad_values_are_one_line_and_exit_2(refused, argument):
    code, message, left = refused[argument]
    assert code == 2, message
    assert message.startswith("error: ")
    assert len(message.strip().splitlines()) == 1
    assert (BAD[argument] or "") in message
    assert not left


def test_a_bad_value_in_a_process_of_its_own(text_folder, tmp_path):
    message = run(text_folder, tmp_path / "store", "model.n=abc", expected=2)
    assert message.startswith(f"error: {BAD['model.n=abc']}")
    assert len(message.splitlines()) == 1


def test_bad_values_in_a_grid_are_one_line_too(text_folder, tmp_path):
    message = run(text_folder, tmp_path, "-m", "model.n=1e4,abc", expected=2)
    assert message.startswith("error: model.n is 'abc'")
    message = run(text_folder, tmp_path, "-m", "model.n=1e4,2e4", "data.tokens=1e4,-2", expected=2)
    assert message.startswith("error: data.tokens is -2")
    message = run(text_folder, tmp_path, "-m", "model.n=1e4,2e4", "modle.n=1", expected=2)
    assert "modle" in message


@pytest.mark.slow
def test_one_run_without_m(text_folder, tmp_path):
    out = run(text_folder, tmp_path, "model.n=5e3", "data.tokens=2e4")
    (record,), _ = Store(tmp_path).records()
    assert record.status == RunStatus.DONE
    assert record.d_tokens == pytest.approx(2e4, rel=0.01)
    assert "no law: a fit needs 8 finished runs" in out


@pytest.mark.slow
def test_tokens_follow_parameters_where_asked(text_folder, tmp_path):
    run(text_folder, tmp_path, "-m", "model.n=4e3", "data.tokens_per_param=2,4")
    records, _ = Store(tmp_path).records()
    ratios = sorted(record.d_tokens / record.n_params_non_embedding for record in records)
    assert ratios == pytest.approx([2, 4], rel=0.02)


@pytest.mark.slow
def test_a_sweep_seals_its_forecast_first_and_the_same_line_again_trains_nothing(text_folder, tmp_path):
    arguments = [
        "-m",
        "model.n=3e3,6e3,12e3",
        "data.tokens=1e4,2e4,4e4",
        "design.target={model.n:2e4,data.tokens:8e4}",
        f"report={tmp_path / 'report.html'}",
    ]
    out = run(text_folder, tmp_path / "store", *arguments)
    store = Store(tmp_path / "store")
    records, damaged = store.records()
    assert not damaged
    assert {record.status for record in records} == {RunStatus.DONE}
    (target,) = [record for record in records if record.role == "target"]
    forecasts = store.forecasts_of(target.run_id)
    assert forecasts[0].law == "auto"
    assert len(forecasts) == 2
    for forecast in forecasts:
        assert forecast.points == 9
        assert forecast.sealed_at < target.started_at
        assert forecast.sealed_at > max(record.finished_at for record in records if record.role == "fit")
        assert forecast.low < forecast.low50 < forecast.loss < forecast.high50 < forecast.high
    assert out.count("forecast for the target sealed before training: ") == 1
    assert "Sealed forecasts against the truth" in out
    assert (tmp_path / "report.html").stat().st_size > 1e6
    again = run(text_folder, tmp_path / "store", *arguments)
    assert "nothing to train" in again
    assert [record.attempt for record in store.records()[0]] == [1] * 10
    assert store.forecasts_of(target.run_id) == forecasts


@pytest.mark.slow
def test_several_targets_are_all_forecast_by_every_law_before_any_is_trained(text_folder, tmp_path):
    arguments = [
        "-m",
        "model.n=3e3,6e3,12e3",
        "data.tokens=1e4,2e4,4e4",
        "design.target=[{model.n:2e4,data.tokens:8e4},{model.n:2e4,data.tokens:4e4}]",
        "design.spans=[4,1e3]",
        "design.laws=[auto,tied,accuracy]",
    ]
    out = run(text_folder, tmp_path, *arguments)
    records, _ = Store(tmp_path).records()
    targets = {record.run_id: record for record in records if record.role == "target"}
    forecasts, damaged = Store(tmp_path).forecasts()
    assert not damaged
    assert {(one.run_id, one.law) for one in forecasts} == {
        (run_id, law) for run_id in targets for law in ("auto", "tied")
    }
    (plan,) = sweep_plans(Store(tmp_path))
    assert {run.run_id: run.role for run in plan.runs} == {record.run_id: record.role for record in records}
    assert plan.started_at < min(record.started_at for record in records)
    assert max(one.sealed_at for one in forecasts) < min(record.started_at for record in targets.values())
    assert "Forecasts sealed before the targets are trained" in out
    said = " ".join(out.split())
    assert "accuracy from 9 runs: left out (the law needs column 'loss_in'" in said
    assert said.count("is not forecast from 1000x less compute: a law needs 8 finished runs") == 2
    assert f"of {len(forecasts)} inside their 90% interval" in said


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_the_same_command_carries_on(text_folder, tmp_path):
    arguments = ["-m", "model.n=3e3,6e3", "data.tokens=2e4,2e6", "launcher.workers=1"]
    whole = tmp_path / "whole"
    process = subprocess.Popen(
        # A test run in the background of a shell hands an ignored SIGINT down.
        ["env", "--default-signal=INT", *command(text_folder, tmp_path / "cut", *arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    curves = tmp_path / "cut" / "runs"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(curves.glob("[0-9a-f]*.parquet")):
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=90)
    assert process.returncode == 130, out
    assert "the same command carries on" in out
    statuses = {record.status for record in Store(tmp_path / "cut").records()[0]}
    assert RunStatus.RUNNING not in statuses
    run(text_folder, tmp_path / "cut", *arguments)
    run(text_folder, whole, *arguments)
    ended = {record.run_id: record.loss for record in Store(tmp_path / "cut").records()[0]}
    assert ended == {record.run_id: record.loss for record in Store(whole).records()[0]}
    assert None not in ended.values()


@pytest.mark.slow
def test_a_stock_hydra_launcher_runs_job_by_job(text_folder, tmp_path):
    run(text_folder, tmp_path, "-m", "hydra/launcher=basic", "model.n=3e3,5e3", "data.tokens=1e4")
    records, _ = Store(tmp_path).records()
    assert [record.status for record in records] == [RunStatus.DONE] * 2


def test_the_composed_configuration_can_be_looked_at(text_folder, tmp_path):
    assert "'n': 30000.0" in run(text_folder, tmp_path, "model.n=3e4", "--cfg", "job")
    assert "quickstart" in run(text_folder, tmp_path, "experiment=quickstart", "--cfg", "job")


def test_files_that_are_no_text_are_counted_before_anything_is_trained(text_folder, tmp_path):
    folder = tmp_path / "texts"
    shutil.copytree(text_folder, folder)
    (folder / "empty.txt").write_bytes(b"")
    (folder / "latin1.txt").write_bytes(b"caf\xe9 " * 100)
    told = run(folder, tmp_path / "store", "dry_run=true")
    assert "left out: 2 that are empty or no UTF-8 text" in " ".join(told.split())
    looked = [sys.executable, "-m", "sweep.data", "inspect", str(folder), "--json"]
    seen = json.loads(subprocess.run(looked, capture_output=True, text=True, timeout=300, check=True).stdout)
    assert (seen["source"], seen["skipped"]) == ("text", 2)
