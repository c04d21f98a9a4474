"""gc: what nobody needs goes, after asking; nothing of a run that may be resumed ever does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from test_compact import filled
from test_export import measured
from test_figures import a_record

from fitting.errors import InputError
from results import garbage as rules
from results.compact import compact
from results.garbage import find_garbage, remove
from results.store import Store

LONG_AGO = time.time() - 2 * rules.DAY


def put(path: Path, old: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 10)
    if old:
        for one in (path, path.parent):
            os.utime(one, (LONG_AGO, LONG_AGO))
    return path


def checkpoints(store: Store, run_id: str) -> Path:
    folder = store.local / "checkpoints" / run_id
    for name in ("90", "100", ".damaged-80-ab", "110.orbax-checkpoint-tmp-7"):
        put(folder / name / "state" / "array")
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    return folder


@pytest.fixture
def store(tmp_path) -> Store:
    """Runs 0 and 1 done, 2 diverged, 3 running elsewhere, 4 interrupted, 5 failed, each with everything it may have."""
    store = filled(Store(tmp_path / "store"))
    store.write(a_record("run-3", status="running", host="elsewhere", pid=1, loss=None))
    for index in range(6):
        checkpoints(store, f"run-{index}")
    return store


def found(store: Store, **options) -> dict[str, list[str]]:
    """By reason, names from the store."""
    told: dict[str, list[str]] = {}
    for one in find_garbage(store, **options):
        told.setdefault(one.why, []).append(str(Path(one.where).relative_to(store.local)))
    return {why: sorted(names) for why, names in told.items()}


def everything(store: Store) -> set[str]:
    return {str(path.relative_to(store.local)) for path in store.local.rglob("*") if path.is_file()}


def test_settled_runs_keep_their_newest_checkpoint_and_diverged_ones_none(store):
    told = found(store)
    assert told[rules.EARLIER] == ["checkpoints/run-0/90", "checkpoints/run-1/90"]
    assert told[rules.DIVERGED] == ["checkpoints/run-2"]
    assert told[rules.CUT_SHORT] == [
        f"checkpoints/run-{index}/{name}"
        for index in (0, 1)
        for name in (".damaged-80-ab", "110.orbax-checkpoint-tmp-7")
    ]
    assert set(told) == {rules.EARLIER, rules.DIVERGED, rules.CUT_SHORT}


def test_final_checkpoints_of_done_runs_go_when_asked_for(store):
    told = found(store, final=True)
    assert told[rules.FINAL] == ["checkpoints/run-0", "checkpoints/run-1"]
    assert "can no longer be asked" in rules.FINAL


@pytest.mark.parametrize("compacted", [False, True])
def test_nothing_of_a_run_that_may_be_resumed_and_no_result_is_removed(store, compacted):
    for index in (3, 4, 5):
        put(store.local / "curves" / f"run-{index}" / ".part-1.parquet.abc")
    put(store.local / "forecasts" / "run-0.json")
    put(store.local / "forecasts" / "run-0" / "auto-0.json")
    put(store.local / "plans" / "sweep-01234567.json")
    put(store.local / "fits" / "sweep.json")
    put(store.local / "corpora" / "abcdef0123456789" / "manifest.json")
    put(store.local / "runs" / "torn.parquet")  # its run may well be one of those
    put(store.local / "curves" / "torn" / "part-1.parquet")
    put(store.local / "checkpoints" / "torn" / "100" / "array")
    if compacted:
        compact(store)
    before, records = everything(store), store.records()
    remove(store, find_garbage(store, final=True), final=True)
    gone = before - everything(store)
    assert gone
    assert {name.split("/")[1] for name in gone} == {"run-0", "run-1", "run-2"}
    assert {name.split("/")[0] for name in gone} == {"checkpoints"}
    assert store.records() == records


def test_folders_without_a_record_go_once_they_are_an_hour_old(store):
    store.write(a_record("run-3"))  # nothing is running
    for kind, name in (("curves", "part-1.parquet"), ("evaluations", "step-1.parquet"), ("checkpoints", "7")):
        put(store.local / kind / "nobody" / name)
        put(store.local / kind / "starting" / name, old=False)
    told = found(store)
    assert told["curves without a run record, older than an hour"] == ["curves/nobody"]
    assert told["evaluations without a run record, older than an hour"] == ["evaluations/nobody"]
    assert told[rules.HANDED_OVER] == ["checkpoints/nobody"]


def test_a_state_that_was_handed_to_a_run_without_a_record_stays_while_anything_runs_or_waits(store):
    put(store.local / "checkpoints" / "branch" / "7")
    assert rules.HANDED_OVER not in found(store)
    store.write(a_record("run-3"))
    assert found(store)[rules.HANDED_OVER] == ["checkpoints/branch"]
    put(store.local / "jobs" / "ticket.json").write_text(json.dumps({"run_ids": ["branch"]}))
    assert rules.HANDED_OVER not in found(store)
    (store.local / "jobs" / "ticket.json").write_text("torn")
    assert rules.HANDED_OVER not in found(store)


def test_temporary_files_and_logs_go_when_they_are_old(store):
    names = (
        "runs/.a.parquet.x",
        "forecasts/.a.json.x",
        "plans/.a.json.x",
        "curves/run-0/.part-1.parquet.x",
        "compact/.runs-1.parquet.x",
    )
    for name in names:
        put(store.local / name)
        put(store.local / f"{name}-young", old=False)
    put(store.local / "logs" / "slurm" / "1.log")
    put(store.local / "logs" / "2.log", old=False)
    told = found(store)
    assert told[rules.TEMPORARY] == sorted(names)
    assert told[rules.OLD_LOG] == ["logs/slurm/1.log"]


def test_a_store_whose_compacted_file_cannot_be_read_keeps_everything(store):
    compact(store)
    put(store.local / "compact" / "runs-0.parquet")
    with pytest.raises(InputError, match="Nobody can tell which runs it holds"):
        find_garbage(store)


def test_what_has_become_a_run_since_somebody_was_asked_stays(store):
    store.write(a_record("run-3"))
    put(store.local / "curves" / "late" / "part-1.parquet")
    garbage = find_garbage(store)
    store.write(a_record("late", status="running"))
    remove(store, garbage)
    assert (store.local / "curves" / "late").exists()


def test_a_link_is_removed_and_not_what_it_leads_to(store, tmp_path):
    kept = put(tmp_path / "elsewhere" / "7" / "array")
    (store.local / "checkpoints" / "run-0" / "80").symlink_to(kept.parent)
    (store.local / "checkpoints" / "nobody").symlink_to(kept.parent)
    remove(store, find_garbage(store))
    assert kept.exists()
    assert not (store.local / "checkpoints" / "run-0" / "80").is_symlink()


def test_orphans_behind_a_url_are_found_by_the_time_that_it_tells(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path))
    store = Store(f"memory://{tmp_path}")
    store.write(a_record("run-0"))
    for run_id in ("run-0", "nobody"):
        store.write_measurements(run_id, [measured("all", "all", "loss", 3.0)])
    assert find_garbage(store) == []
    monkeypatch.setattr(rules, "HOUR", -1.0)
    (orphan,) = find_garbage(store)
    assert orphan.where.endswith("evaluations/nobody")
    remove(store, [orphan])
    assert store.measurements("nobody") == []
    assert len(store.measurements("run-0")) == 1


def gc(store: Store, *options: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "results", "gc", "--store", store.name, *options]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=120, stdin=subprocess.DEVNULL)


def test_the_command_shows_a_table_and_asks_or_refuses(store):
    before = everything(store)
    refused = gc(store)
    assert refused.returncode == 2
    assert (
        refused.stderr == "error: nobody can be asked without a terminal; --yes removes this, --dry-run only shows it\n"
    )
    shown = gc(store, "--dry-run", "--checkpoints")
    assert shown.returncode == 0
    assert "can no longer be asked of them" in shown.stdout
    assert everything(store) == before
    told = json.loads(gc(store, "--json").stdout)
    assert (len(told["garbage"]), told["removed"]) == (7, False)
    assert everything(store) == before
    done = gc(store, "--yes")
    assert "removed 7 of 7, 100 B" in done.stdout
    assert find_garbage(store) == []
    assert "nothing to remove" in gc(store, "--yes").stdout


def test_a_store_that_is_not_there_is_refused(tmp_path):
    refused = gc(Store(tmp_path / "nowhere"), "--yes")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "nowhere").exists()
