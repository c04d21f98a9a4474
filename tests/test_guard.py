"""A configuration from elsewhere runs no code: each way in is tried with one that would leave a file behind."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from conftest import ROOT
from omegaconf import OmegaConf

from fitting.errors import InputError
from sweep.guard import check, check_search_path

TINY = ["data.tokenizer=bytes", "data.sequence=16", "data.eval_tokens=2048", "data.max_epochs=10", "dry_run=true"]
RUNS = "{_target_: os.system, _args_: ['touch HERE']}"


@pytest.fixture
def attempt(text_folder, tmp_path):
    """Runs `python -m sweep` on an experiment of somebody else; (finished process, whether its code ran)."""

    def tried(experiment: str, *arguments: str) -> tuple[subprocess.CompletedProcess, bool]:
        trace, folder = tmp_path / "trace", tmp_path / "theirs"
        (folder / "experiment").mkdir(parents=True, exist_ok=True)
        text = "# @package _global_\n" + experiment.replace("HERE", str(trace))
        (folder / "experiment" / "theirs.yaml").write_text(text)
        base = [sys.executable, "-m", "sweep", "data=text", f"data.path={text_folder}", f"store={tmp_path / 'store'}"]
        chosen = ["experiment=theirs", "--config-dir", str(folder)]
        line = [*base, *TINY, *(argument.replace("HERE", str(trace)) for argument in arguments), *chosen]
        done = subprocess.run(line, capture_output=True, text=True, timeout=120)
        return done, trace.exists()

    return tried


def test_an_experiment_of_somebody_else_that_runs_nothing_is_used(attempt):
    done, _ = attempt("name: theirs\nmodel: {n: 5e3}\nhydra: {verbose: false}")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 runs to train" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["-m"], ["--cfg", "job"], ["--help"], ["-m", "hydra/launcher=basic"]])
def test_a_callback_is_not_made(attempt, arguments):
    done, ran = attempt(f"hydra: {{callbacks: {{theirs: {RUNS}}}}}", *arguments)
    assert not ran
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: hydra.callbacks.theirs._target_ is 'os.system', which would run code; allowed"
    )
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        ("hydra: {launcher: {_target_: os.system}}", "hydra.launcher._target_ is 'os.system'"),
        ("hydra: {sweeper: {_target_: os.system}}", "hydra.sweeper._target_ is 'os.system'"),
        (
            "hydra: {launcher: {_target_: hydra_plugins.isoflop.sweeper.dataclass.os.system}}",
            "hydra.launcher._target_ is 'hydra_plugins.isoflop.sweeper.dataclass.os.system'",
        ),
        (f"theirs: {RUNS}", "theirs._target_ is 'os.system'"),
        (f"theirs: [1, {RUNS}]", "theirs.1._target_ is 'os.system'"),
        (f"theirs: {RUNS}\nhydra: {{callbacks: {{a: '${{theirs}}'}}}}", "_target_ is 'os.system'"),
        (
            "word: os.system\nhydra: {callbacks: {a: {_target_: '${word}', _args_: ['touch HERE']}}}",
            "hydra.callbacks.a._target_ is '${word}'",
        ),
        (
            "hydra: {callbacks: {a: \"${oc.create:{_target_: os.system, _args_: ['touch HERE']}}\"}}",
            "hydra.callbacks.a._target_ is 'os.system'",
        ),
        (
            "one: '{_tar'\ntwo: \"get_: os.system, _args_: ['touch HERE']}\"\n"
            "hydra: {callbacks: {a: '${oc.decode:${one}${two}}'}}",
            "hydra.callbacks.a._target_ is 'os.system'",
        ),
        (
            'hydra: {callbacks: {a: "${oc.decode:${hydra:job.name}}"}}',
            "hydra.callbacks.a is '${oc.decode:${hydra:job.name}}', which makes settings that cannot be looked at",
        ),
        (
            "hydra: {job_logging: {handlers: {a: {(): os.system, command: 'touch HERE'}}, root: {handlers: [a]}}}",
            "hydra.job_logging.handlers.a.() is 'os.system'",
        ),
        (
            "hydra: {hydra_logging: {handlers: {a: {class: logging.os.system, command: 'touch HERE'}}}}",
            "hydra.hydra_logging.handlers.a.class is 'logging.os.system'",
        ),
        ("hydra: {job_logging: {filters: {a: {(): os.system, command: 'touch HERE'}}}}", "filters.a.() is 'os.system'"),
        (
            "hydra: {job_logging: {formatters: {a: {(): os.system, command: 'touch HERE'}}}}",
            "formatters.a.() is 'os.system'",
        ),
        (
            "hydra: {job_logging: {handlers: {console: {stream: 'ext://antigravity'}}}}",
            "hydra.job_logging.handlers.console.stream is 'ext://antigravity', which would import code",
        ),
        ("hydra: {job: {env_set: {PYTHONPATH: HERE}}}", "hydra.job.env_set.PYTHONPATH is"),
        ("hydra: {job: {chdir: true}, run: {dir: HERE}}", "hydra.job.chdir is True in a configuration file"),
        ("defaults: [{override /launcher: slurm}]\nlauncher: {setup: ['touch HERE']}", "launcher.setup is"),
        (
            "defaults: [{override /launcher: slurm}]\nlauncher: {sbatch: {export: LD_PRELOAD=x}}",
            "launcher.sbatch.export is 'LD_PRELOAD=x' in a configuration file",
        ),
        (
            'defaults: [{override /launcher: slurm}]\nlauncher: {sbatch: {account: "me\\ntouch HERE"}}',
            "launcher.sbatch.account is",
        ),
        ("seed: !!python/object/apply:os.system ['touch HERE']", "could not determine a constructor for the tag"),
    ],
)
def test_what_would_run_code_is_refused_in_one_line(attempt, experiment, words):
    done, ran = attempt(experiment)
    assert not ran
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_what_the_user_types_is_allowed(attempt):
    assert attempt("name: theirs", "hydra.job.chdir=true", "hydra.run.dir=.")[0].returncode == 0
    assert attempt("name: theirs", "+hydra.job.env_set.MINE=1")[0].returncode == 0
    done, _ = attempt("hydra: {job: {env_set: {LD_PRELOAD: x}}}", "+hydra.job.env_set.MINE=1")
    assert done.stderr.startswith("error: hydra.job.env_set.LD_PRELOAD is 'x' in a configuration file")


def test_a_search_path_in_a_file_is_a_folder(text_folder, tmp_path):
    (tmp_path / "their_package").mkdir()
    (tmp_path / "their_package" / "__init__.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')")
    (tmp_path / "theirs.yaml").write_text("defaults: [config]\nhydra: {searchpath: ['pkg://their_package']}")
    line = [sys.executable, "-m", "sweep", "--config-dir", str(tmp_path), "--config-name", "theirs", "dry_run=true"]
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("error: hydra.searchpath holds 'pkg://their_package' in a configuration file")
    assert not (tmp_path / "trace").exists()
    check_search_path("file:///folder")
    check_search_path("folder")


def test_a_job_of_a_stock_launcher_is_looked_at_before_any_is_started(attempt, tmp_path):
    bad = tmp_path / "theirs" / "model" / "theirs.yaml"
    bad.parent.mkdir(parents=True)
    bad.write_text(f"defaults: [decoder]\nmore: {RUNS.replace('HERE', str(tmp_path / 'trace'))}")
    done, ran = attempt("name: theirs", "-m", "hydra/launcher=basic", "model=decoder,theirs")
    assert not ran
    assert done.stderr.startswith("error: model.more._target_ is 'os.system'")
    assert "corpus" not in done.stdout


def test_a_pickled_run_is_not_opened(attempt):
    for flag in ("--experimental-rerun", "--exp"):
        done, _ = attempt("name: theirs", flag, "/no/such.pickle")
        assert done.returncode == 2
        assert done.stderr.startswith("error: --experimental-rerun is '/no/such.pickle', a pickle")


def test_references_in_a_circle_are_refused():
    config = OmegaConf.create({"a": {"b": "${c}"}, "c": {"d": "${a}"}, "hydra": {"job": {}}})
    with pytest.raises(InputError, match="goes deeper than 40 levels, or round in a circle"):
        check(config, [])


def test_none_of_our_code_unpickles():
    """What is read from a store, a corpus or a checkpoint is JSON, Parquet, or arrays without objects."""
    found = []
    for file in [file for room in ("sweep", "models", "fitting", "results") for file in (ROOT / room).rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [name.name for name in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            pickles = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"} & {module, *names}
            allows = isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "trust_remote_code")
            if pickles or allows:
                found.append(f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert found == []
