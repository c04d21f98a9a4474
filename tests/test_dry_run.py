"""`python -m sweep design=… dry_run=true` as a user types it: the table, the price, the lint; nothing is trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from results.store import Store

TINY = ["data.tokenizer=bytes", "data.sequence=16", "data.eval_tokens=2048", "optimiser.batch_sequences=8"]
TINY += ["data.max_epochs=10"]


def sweep(text_folder: Path, store: Path, *arguments: str) -> subprocess.CompletedProcess:
    base = [sys.executable, "-m", "sweep", "data=text", f"data.path={text_folder}", f"store={store}"]
    return subprocess.run([*base, *TINY, *arguments], capture_output=True, text=True, timeout=300)


def test_a_dry_run_shows_everything_and_leaves_nothing(text_folder, tmp_path):
    store = tmp_path / "store"
    sizes = ["design=ladder", "design.sizes=[4e3,8e3,16e3]", "design.multiples=[0.5,1,2]", "launcher.price=1.5"]
    done = sweep(text_folder, store, *sizes, "dry_run=true")
    assert done.returncode == 0, done.stderr
    assert "9 of 9 runs to train" in done.stdout
    assert "at $1.5 an hour and worker" in " ".join(done.stdout.split())
    assert "dry run: nothing is trained" in done.stdout
    assert not store.exists()


def test_a_dry_run_says_what_cannot_identify_a_law(text_folder, tmp_path):
    done = sweep(
        text_folder, tmp_path / "store", "-m", "dry_run=true", "model.n=4e3,8e3,16e3", "data.tokens_per_param=20"
    )
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "no law can be fitted to these runs" in said
    assert "what N does and what D does cannot be told apart. To do: add N =" in said


def test_a_design_with_a_stock_launcher_is_refused(text_folder, tmp_path):
    done = sweep(text_folder, tmp_path / "store", "-m", "design=ladder", "hydra/launcher=basic")
    assert done.returncode == 2
    assert done.stderr.startswith("error: design=ladder makes its runs itself")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_design_is_trained_and_a_dry_run_tells_what_the_store_holds(text_folder, tmp_path):
    arguments = ["design=isoflop", "design.budgets=[2e9]", "design.sizes=3", "design.tokens_per_param=null"]
    done = sweep(text_folder, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    records, _ = Store(tmp_path).records()
    assert [record.status for record in records] == ["done"] * 3
    assert [record.flops for record in records] == pytest.approx([2e9] * 3, rel=0.05)
    again = sweep(text_folder, tmp_path, *arguments, "design.budgets=[2e9,8e9]", "dry_run=true")
    assert "3 of 6 runs to train" in again.stdout
    assert len(Store(tmp_path).records()[0]) == 3
