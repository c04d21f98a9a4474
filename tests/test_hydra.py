"""What people know from Hydra works: its flags, its grammar, its folders, tab completion, and its other launchers."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
from conftest import ROOT

from results.store import Store
from sweep.complete import line_for_hydra

TINY = ["data.tokenizer=bytes", "data.sequence=16", "data.eval_tokens=2048", "optimiser.batch_sequences=8"]
TINY += ["data.max_epochs=10"]


@pytest.fixture
def sweep(text_folder, tmp_path):
    """`python -m sweep …` in an empty folder of its own."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        here = tmp_path / "here"
        here.mkdir(exist_ok=True)
        line = [sys.executable, "-m", "sweep", *arguments]
        env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        return subprocess.run(line, capture_output=True, text=True, timeout=300, cwd=here, env=env)

    return run


@pytest.fixture
def planned(sweep, text_folder):
    """A dry run on a tiny corpus; its standard output as one line."""

    def run(*arguments: str) -> str:
        done = sweep("data=text", f"data.path={text_folder}", *TINY, "dry_run=true", *arguments)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cfg", "job"], "'n': 100000.0"),
        (["--cfg", "hydra"], "_target_: hydra_plugins.isoflop.sweeper.IsoflopSweeper"),
        (["--cfg", "all"], "hydra:\n  run:\n    dir: ."),
        (["--cfg", "job", "--package", "model"], "# @package model\n'n': 100000.0"),
        (["--cfg", "job", "--resolve", "seed=${data.seed}"], "seed: 0"),
        (["model.n=3e4", "--cfg", "job", "model.mlp=gelu"], "mlp: gelu"),
        (["--info"], "IsoflopSweeper"),
        (["--info", "plugins"], "IsoflopSweeper"),
        (["--info", "config"], "Config search path"),
        (["--info", "searchpath"], "pkg://conf"),
        (["--info", "defaults"], "optimiser/adamw"),
        (["--info", "defaults-tree"], "optimiser: adamw"),
        (["--help"], "python -m sweep: one run, a grid"),
        (["--hydra-help"], "--config-dir"),
        (["--version"], "Hydra 1."),
    ],
)
def test_flags_of_hydra_answer(sweep, arguments, words):
    done = sweep(*arguments)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert "experiment: published, quickstart" in done.stdout or arguments != ["--help"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "--cfg", "job"], "--multirun and --cfg are given; allowed is one of"),
        (["--resolve"], "--resolve is given alone"),
        (["-sc", "install=csh"], "allowed are install=SHELL and query=SHELL, SHELL one of bash, zsh, fish"),
        (["-m", "model.n=interval(1,2)"], "model.n=interval(1,2) has no end"),
        (["-m", "model=decoder,decoder"], "model is a group of settings and cannot be an axis"),
        (["-m", "+unknown=1,2"], "+unknown is not a setting"),
        (["-m", "data.path=[a],[b]"], "data.path is a setting of the whole sweep and cannot be an axis"),
        (["-m", "mesh.data=1,2"], "mesh.data is a setting of the whole sweep and cannot be an axis"),
        (["~data.seed"], "data.seed is None"),
        (["--config-dir", "/no/such"], "'/no/such' not found"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(sweep, arguments, words):
    done = sweep("data=synthetic", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        (["-m", "model.n=3e3,6e3", "data.tokens=1e4"], 2),
        (["model.n=3e3,6e3", "-m", "data.tokens=1e4,2e4"], 4),
        (["model.n=3e3,6e3", "data.tokens=1e4", "--multirun"], 2),
        (["--multirun", "model.n=range(3000,6001,1000)"], 4),
        (["-m", "model.n=choice(3e3,6e3)", "seed=range(3)"], 6),
        (["-m", "precision='float32','bfloat16'", 'model.mlp="gelu"'], 2),
        (["-m", "data.mixture={text: 1},{text: 1.0},null"], 2),
        (["-m", "data.curriculum={0: {text: 1}},{0: {text: 1}, 5: {text: 1}}"], 2),
        (["+note=mine", "experiment=quickstart", "~report", "~design.target", "~design.max_run_flops"], 16),
        (["experiment=quickstart", "-m", "design.target=null", "seed=0,1", "design.max_run_flops=null"], 32),
    ],
)
def test_the_grammar_of_overrides(planned, arguments, runs):
    assert f"{runs} of {runs} runs to train" in planned(*arguments)


def test_an_experiment_of_ones_own(planned, tmp_path):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [{override /schedule: cosine}]\n"
        "design: {axes: {model.n: [3e3, 6e3, 9e3], data.tokens: [1e4, 2e4]}}\n"
    )
    assert "6 of 6 runs to train" in planned("--config-dir", str(folder.parent), "experiment=mine")
    assert "12 of 12 runs to train" in planned("experiment=mine", "-m", "seed=0,1", "-cd", str(folder.parent))


def test_nothing_is_written_where_it_was_not_asked_for(planned, tmp_path):
    planned("-m", "model.n=3e3,6e3")
    planned("model.n=3e3")
    assert list((tmp_path / "here").iterdir()) == []


def test_the_folders_of_hydra_hold_what_they_hold_with_its_own_sweeper(planned, tmp_path):
    planned("-m", "model.n=3e3,6e3", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    planned("model.n=3e3", f"hydra.run.dir={tmp_path / 'run'}", "hydra.output_subdir=.hydra")
    assert [path.name for path in (tmp_path / "sweep").iterdir()] == ["multirun.yaml"]
    assert "model.n=3e3,6e3" in (tmp_path / "sweep" / "multirun.yaml").read_text()
    assert sorted(path.name for path in (tmp_path / "run" / ".hydra").iterdir()) == [
        "config.yaml",
        "hydra.yaml",
        "overrides.yaml",
    ]


def test_verbose_tells_what_libraries_log(sweep):
    assert "[DEBUG]" in sweep("data=synthetic", "dry_run=true", "hydra.verbose=true").stderr
    assert sweep("data=synthetic", "dry_run=true").stderr == ""


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("python -m sweep mod", ["model.", "model="]),
        ("python -m sweep data=t", ["data=text", "data=tokens"]),
        ("python3 -m sweep model.n=1e4 -m schedule=", ["schedule=cosine", "schedule=linear", "schedule=wsd"]),
        (".venv/bin/python -m sweep model.experts", ["model.experts=", "model.experts_per_token="]),
        ("python -m sweep design=isoflop design.bud", ["design.budgets."]),
        ("python -m sweep experiment=", ["experiment=published", "experiment=quickstart"]),
        ("python -m sweep hydra/launcher=bas", ["hydra/launcher=basic"]),
    ],
)
def test_a_shell_is_offered_groups_choices_and_settings(sweep, line, offered):
    assert sweep("-sc", "query=bash", COMP_LINE=line).stdout.split() == offered
    assert sweep("-sc", "query=fish", COMP_LINE=line).stdout.splitlines() == offered


def test_bash_completes_python_m_sweep(sweep):
    script = sweep("-sc", "install=bash").stdout
    asked = f"""{script}
COMP_LINE="{sys.executable} -m sweep model.n=1e4 data=js"; COMP_POINT=${{#COMP_LINE}}
COMP_WORDS=($COMP_LINE); COMP_CWORD=4; _isoflop_sweep; echo "${{COMPREPLY[@]}}"; complete -p python"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=60, env=env)
    assert done.stdout.splitlines()[0] == "data=jsonl", done.stderr
    assert "-F _isoflop_sweep python" in done.stdout


def test_each_shell_has_a_script(sweep):
    for shell, word in (("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete -c")):
        assert word in sweep("-sc", f"install={shell}").stdout


def test_a_line_is_put_into_the_words_of_hydra():
    assert line_for_hydra("python -m sweep a=1 -m b=") == "sweep -m a=1 b="
    assert line_for_hydra("python -m sweep ") == "sweep "
    assert line_for_hydra("/usr/bin/python3 -X dev -m sweep model.") == "sweep model."


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_a_launcher_of_hydra_leaves_the_same_records(sweep, text_folder, tmp_path, launcher):
    """Bit for bit where a run has as many devices as in our own sweep; by itself it would be spread over all cores."""
    package = f"hydra_{launcher.partition('_')[0]}_launcher"
    if launcher != "basic" and importlib.util.find_spec(f"hydra_plugins.{package}") is None:
        pytest.skip(f"{package} is not installed")
    line = ["data=text", f"data.path={text_folder}", *TINY, "mesh.data=1", "-m", "model.n=3e3,5e3", "data.tokens=1e4"]
    own = sweep(*line, f"store={tmp_path / 'own'}")
    theirs = sweep(*line, f"store={tmp_path / 'theirs'}", f"hydra/launcher={launcher}", f"hydra.sweep.dir={tmp_path}")
    assert own.returncode == theirs.returncode == 0, own.stderr + theirs.stderr
    found = [{run.run_id: run.loss for run in Store(tmp_path / name).records()[0]} for name in ("own", "theirs")]
    assert len(found[0]) == 2
    assert found[0] == found[1]
    assert (tmp_path / "multirun.yaml").exists()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_what_a_job_of_a_launcher_of_hydra_refuses_is_one_line(sweep, text_folder, launcher):
    if launcher != "basic" and importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None:
        pytest.skip("hydra-joblib-launcher is not installed")
    done = sweep("data=text", f"data.path={text_folder}", *TINY, "-m", f"hydra/launcher={launcher}", "model.n=3e3,abc")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "model.n is 'abc'; allowed is a whole number" in done.stderr.strip().splitlines()[-1]
