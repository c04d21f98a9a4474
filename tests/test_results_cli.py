"""python -m results: what it lists and writes, how fast it answers, and how it fails."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from test_figures import a_record, a_target

from results.store import Store


def run(*arguments: str | Path) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "results", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=120)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Done, target, diverged, running here and alive, running here and gone, running elsewhere; one torn file."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    running = {"status": "running", "loss": None, "bpb": None, "sentence": "in training"}
    here = socket.gethostname()
    store = Store(tmp_path / "store")
    for record in (
        a_record("done-run"),
        a_target(),
        a_record("diverged", status="diverged", loss=float("nan"), sentence="[red]loss[/red] not finite\x1b[2J"),
        a_record("alive-run", **running, host=here, pid=os.getpid()),
        a_record("dead-run", **running, host=here, pid=gone.pid),
        a_record("far-run", **running, host="elsewhere", pid=gone.pid),
    ):
        store.write(record)
    (store.path / "runs" / "torn.parquet").write_bytes(b"PAR1 torn")
    return store.path


def test_ls_shows_every_run_with_its_status_and_sentence(store: Path):
    ended = run("ls", "--store", store)
    assert ended.returncode == 0
    lines = {line.split()[0]: line for line in ended.stdout.splitlines() if line.strip()}
    assert "100k" in lines["done-run"]
    assert "done, target" in lines["target-0"]
    assert "[red]loss[/red] not finite" in lines["diverged"]
    assert "\x1b" not in ended.stdout
    assert "running (process gone)" in lines["dead-run"]
    assert "process gone" not in lines["alive-ru"] + lines["far-run"]
    assert "torn.parquet" in ended.stdout


def test_ls_as_json_is_json_with_every_column(store: Path):
    told = json.loads(run("ls", "--store", store, "--json").stdout, parse_constant=pytest.fail)
    runs = {row["run_id"]: row for row in told["runs"]}
    assert len(runs) == 6
    assert runs["dead-run"]["shown_status"] == "running (process gone)"
    assert runs["dead-run"]["status"] == "running"
    assert runs["diverged"]["loss"] is None
    assert runs["done-run"]["d_tokens"] == 2e6
    assert [Path(file["path"]).name for file in told["damaged"]] == ["torn.parquet"]


def test_ls_can_be_narrowed_by_status(store: Path):
    told = json.loads(run("ls", "--store", store, "--status", "diverged", "--json").stdout)
    assert [row["run_id"] for row in told["runs"]] == ["diverged"]
    assert "none of the 6 runs" in run("ls", "--store", store, "--status", "failed").stdout
    assert run("ls", "--store", store, "--status", "lost").returncode == 2


def test_ls_shows_the_newest_runs_and_says_how_many_more_there_are(tmp_path: Path):
    store = Store(tmp_path)
    for index in range(53):
        store.write(a_record(f"run-{index:03d}", started_at=float(index)))
    told = run("ls", "--store", tmp_path).stdout
    assert ("run-003" in told, "run-002" in told) == (True, False)
    assert "the newest 50 of 53 runs; --all or --limit N shows more" in told
    assert "the newest 2 of 53 runs" in run("ls", "--store", tmp_path, "--limit", "2").stdout
    told = run("ls", "--store", tmp_path, "--all").stdout
    assert ("run-000" in told, "newest" in told) == (True, False)
    assert len(json.loads(run("ls", "--store", tmp_path, "--json").stdout)["runs"]) == 53
    assert run("ls", "--store", tmp_path, "--limit", "0").returncode == 2


def test_compact_says_what_it_did_and_leaves_what_ls_shows(store: Path):
    before = json.loads(run("ls", "--store", store, "--json").stdout)
    told = run("compact", "--store", store)
    assert told.returncode == 0, told.stderr
    assert "3 settled runs are in one file. 3 files went into fewer" in told.stdout
    assert "3 runs that are not settled keep their own" in told.stdout
    assert "torn.parquet" in told.stdout
    assert json.loads(run("ls", "--store", store, "--json").stdout) == before
    again = json.loads(run("compact", "--store", store, "--json").stdout)
    assert (again["runs"], again["run_files"]) == (3, 0)


def test_compact_of_a_store_that_is_not_there_is_one_line_and_exit_2(tmp_path: Path):
    ended = run("compact", "--store", tmp_path / "nowhere")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "nowhere").exists()


def test_commands_take_a_store_by_its_url(store: Path):
    told = json.loads(run("ls", "--store", f"file://{store}", "--json").stdout)
    assert len(told["runs"]) == 6
    refused = run("ls", "--store", "nonsense://bucket/store")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_ls_of_a_store_that_is_not_there_says_what_to_do(tmp_path: Path):
    ended = run("ls", "--store", tmp_path / "nowhere")
    assert ended.returncode == 0
    assert "no store at" in ended.stdout
    assert "python -m sweep" in ended.stdout
    (tmp_path / "empty").mkdir()
    assert "holds no runs" in run("ls", "--store", tmp_path / "empty").stdout


def test_report_is_written_where_it_is_asked_for(store: Path, tmp_path: Path):
    out = tmp_path / "page.html"
    ended = run("report", "--store", store, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert str(out) in ended.stdout
    assert "process gone" in out.read_text()


def test_report_of_a_store_that_is_not_there_is_one_line_and_no_page(tmp_path: Path):
    ended = run("report", "--store", tmp_path / "nowhere", "--out", tmp_path / "page.html")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: no store at")
    assert not (tmp_path / "page.html").exists()


def test_report_that_cannot_be_written_is_one_line_and_exit_2(store: Path, tmp_path: Path):
    ended = run("report", "--store", store, "--out", tmp_path / "nowhere" / "page.html")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1


def test_help_and_the_package_import_nothing_heavy():
    heavy = ("jax", "plotly", "pyarrow", "rich.table")
    code = f"import sys, results, results.__main__; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert ended.stdout.strip() == "[]", ended.stderr
    assert run("--help").returncode == 0


def test_the_package_exports_the_store_when_it_is_asked_for():
    import results

    assert results.Store is Store
    with pytest.raises(AttributeError, match="it has RunRecord, RunStatus, Store"):
        _ = results.Nothing
