"""Shared by all tests: strict JAX, one compile cache, a small corpus of real text, slow tests last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
# One cache for all workers of one checkout: a program is compiled once in the whole test run.
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "tests"
os.environ["ISOFLOP_CACHE"] = str(CACHE)
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE / "xla")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
# Tests compile far more than they compute: LLVM's cheap passes take 0.72 of the processor time of tests that train.
# XLA_FLAGS= in front of pytest tests what users get.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
# The hundreds of processes that tests start find the project's bytecode compiled: half of their start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT.parent / "shared" / "reference"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests run last, so that a broken fast one is seen at once."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Public point sets that lie beside some checkouts and are no part of the project."""
    if not REFERENCE.is_dir():
        pytest.skip("the public reference point sets are not on this machine")
    return REFERENCE


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of real text that takes no time: 60 modules of the standard library."""
    import sysconfig

    folder = tmp_path_factory.mktemp("texts")
    modules = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    chosen = [module for module in modules if 5_000 < module.stat().st_size < 60_000][:60]
    for module in chosen:
        (folder / module.name).write_bytes(module.read_bytes())
    return folder


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Runs of a known law (tests/planned.py), as a CSV file."""
    from planned import write_sweep

    path = tmp_path_factory.mktemp("sweep") / "runs.csv"
    write_sweep(path)
    return str(path)


@pytest.fixture(scope="session")
def stored(sweep: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The average of laws of these runs, as `fit --law auto --out` keeps it."""
    from planned import app, runner

    path = tmp_path_factory.mktemp("laws") / "law.json"
    done = runner.invoke(app, ["fit", "--points", sweep, "--law", "auto", "--out", str(path)])
    assert done.exit_code == 0, done.output
    assert "Compute-optimal runs" in done.output
    return str(path)
