"""Compaction: nothing is lost or doubled at any moment, whoever writes, reads or compacts meanwhile."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow.parquet as pq
import pytest
from test_export import measured
from test_figures import a_record

from fitting.errors import InputError
from results import compact as compact_module
from results.compact import compact
from results.export import wide_rows
from results.files import Files
from results.local_files import LocalFiles
from results.run_file import encode_runs
from results.store import Store


def curve_row(step: int, loss: float, attempt: int = 1) -> dict:
    names = ("tokens", "learning_rate", "weight_decay", "gradient_norm", "seconds", "tokens_per_second", "mfu")
    return {"step": step, "loss": loss, "attempt": attempt, **dict.fromkeys(names, 1.0)}


def filled(store: Store) -> Store:
    """Two done runs, a diverged one, and one of each status that is trained on; each with curves and evaluations."""
    for index, status in enumerate(("done", "done", "diverged", "running", "interrupted", "failed")):
        run_id = f"run-{index}"
        store.write(a_record(run_id, status=status, started_at=float(index)))
        store.write_curve(run_id, [curve_row(1, 5.0), curve_row(2, 4.0)])
        store.write_curve(run_id, [curve_row(2, 4.5, 2), curve_row(3, 3.0 + index, 2)])
        store.write_measurements(run_id, [measured("all", "all", "loss", 5.0 + index, step=50)])
        store.write_measurements(run_id, [measured("all", "all", "loss", 3.0 + index, step=100)])
    return store


def seen(store: Store) -> tuple:
    """All that readers are told of it, by a reader that remembers nothing."""
    store = Store(store.name)
    records, damaged = store.records()
    curves = {r.run_id: {name: list(v) for name, v in store.curve(r.run_id).items()} for r in records}
    read = [store.read(record.run_id) for record in records]
    return records, damaged, curves, read, [store.measurements(record.run_id) for record in records], wide_rows(store)


def names(store: Store, folder: str) -> list[str]:
    return [entry.name.split("/", 1)[1] for entry in store.files.entries(folder)]


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path) -> Store:
    return filled(Store(tmp_path / "store" if request.param == "folder" else f"memory://{tmp_path}"))


def test_readers_are_told_the_same_before_and_after(store):
    before = seen(store)
    assert len(before[0]) == 6
    done = compact(store)
    assert (done.runs, done.unsettled, done.run_files, done.curve_files, done.evaluation_files) == (3, 3, 3, 6, 6)
    assert seen(store) == before
    assert names(store, "runs") == ["run-3.parquet", "run-4.parquet", "run-5.parquet"]
    assert len(names(store, "compact")) == 2
    assert [len(names(store, f"curves/run-{index}")) for index in range(6)] == [1, 1, 1, 2, 2, 2]
    assert store.files.folders("evaluations") == ["run-3", "run-4", "run-5"]


def test_a_second_compaction_does_nothing_and_a_third_takes_in_what_was_settled_since(store):
    compact(store)
    first = names(store, "compact")
    again = compact(store)
    assert (again.run_files, again.curve_files, again.evaluation_files) == (0, 0, 0)
    assert names(store, "compact") == first
    store.write(a_record("run-3", started_at=3.0))
    before = seen(store)
    compact(store)
    assert seen(store) == before
    assert len(names(store, "compact")) == 2
    assert names(store, "runs") == ["run-4.parquet", "run-5.parquet"]


def test_a_file_of_its_own_is_newer_than_the_compacted_row(store):
    compact(store)
    store.write(a_record("run-0", sentence="written again"))
    store.write_measurements("run-0", [measured("all", "all", "loss", 2.5, step=100)])
    for _ in range(2):
        assert store.read("run-0").sentence == "written again"
        assert [one.value for one in store.measurements("run-0")] == [5.0, 2.5]
        compact(store)


@pytest.mark.parametrize("dying_at", range(21))
def test_a_compaction_that_is_killed_at_any_step_loses_and_doubles_nothing(tmp_path, monkeypatch, dying_at):
    """Every write and every deletion is a moment to die at: 20 of them, and the last case ends whole."""
    store = filled(Store(tmp_path))
    before = seen(store)
    steps = iter(range(1000))

    class KilledError(Exception):
        pass

    def dying(real):
        def call(*arguments):
            if next(steps) == dying_at:
                raise KilledError
            return real(*arguments)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(LocalFiles, "threads", 1)
        patched.setattr(LocalFiles, "write", dying(LocalFiles.write))
        patched.setattr(LocalFiles, "_delete", dying(LocalFiles._delete))
        try:
            compact(store)
        except KilledError:
            assert next(steps) > dying_at
    assert seen(store) == before
    compact(Store(tmp_path))
    assert seen(store) == before
    assert len(names(store, "compact")) == 2


def test_a_run_that_is_written_again_during_the_compaction_keeps_its_file(store, monkeypatch):
    def written_again(files: Files) -> None:
        store.write(a_record("run-0", sentence="written again"))

    monkeypatch.setattr(type(store.files), "sync", written_again)
    compact(store)
    assert "run-0.parquet" in names(store, "runs")
    assert Store(store.name).read("run-0").sentence == "written again"


def test_two_compactions_at_once_lose_no_row(store, monkeypatch):
    """The second begins, ends and takes in a further run after the first has read, before the first writes."""
    before = seen(store)
    first_encode, met = compact_module.encode_runs, []

    def second_first(records):
        if not met:
            met.append("second")
            store.write(a_record("run-9", started_at=9.0))
            compact(Store(store.name))
        return first_encode(records)

    monkeypatch.setattr(compact_module, "encode_runs", second_first)
    compact(store)
    after = seen(store)
    assert [record.run_id for record in after[0]] == [*(record.run_id for record in before[0]), "run-9"]
    assert after[2].items() >= before[2].items()
    assert after[4][:6] == before[4]
    compact(store)
    assert seen(store) == after
    assert len([name for name in names(store, "compact") if name.startswith("runs-")]) == 1


def test_a_reader_whose_listing_is_overtaken_finds_the_row_in_the_compacted_file(store, monkeypatch):
    real, overtaken = type(store.files).entries, []

    def entries(files, folder):
        listed = real(files, folder)
        if folder in ("runs", "curves/run-0", "evaluations/run-0") and folder not in overtaken:
            overtaken.append(folder)
            compact(Store(store.name))
        return listed

    before = seen(store)
    reader = Store(store.name)
    monkeypatch.setattr(type(store.files), "entries", entries)
    assert reader.records() == (before[0], [])
    assert overtaken


def test_a_compacted_file_that_vanishes_under_the_reader_is_found_in_the_one_that_took_it_in(store, monkeypatch):
    compact(store)
    before, real, overtaken = seen(store), type(store.files).read, []

    def read(files, name):
        if name.startswith("compact/runs-") and not overtaken:
            overtaken.append(name)
            store.write(a_record("run-0", started_at=0.0))
            compact(Store(store.name))
        return real(files, name)

    reader = Store(store.name)
    monkeypatch.setattr(type(store.files), "read", read)
    assert len(reader.records()[0]) == len(before[0])
    assert overtaken


def test_a_listing_that_shows_neither_the_old_compacted_file_nor_the_new_one_is_asked_for_again(store, monkeypatch):
    """Object stores and folders may list what is there at no one moment."""
    compact(store)
    real, asked = type(store.files).entries, []

    def entries(files, folder):
        listed = real(files, folder)
        if folder == "compact":
            asked.append(folder)
        return [] if folder == "compact" and len(asked) == 1 else listed

    monkeypatch.setattr(type(store.files), "entries", entries)
    assert len(Store(store.name).records()[0]) == 6


def test_a_curve_whose_parts_vanish_under_the_reader_is_read_whole(store, monkeypatch):
    real, overtaken = type(store.files).read, []

    def read(files, name):
        if name.startswith("curves/") and not overtaken:
            overtaken.append(name)
            compact(Store(store.name))
        return real(files, name)

    monkeypatch.setattr(type(store.files), "read", read)
    np.testing.assert_array_equal(store.curve("run-0")["loss"], [5.0, 4.5, 3.0])


def test_readers_and_writers_beside_repeated_compactions_never_miss_a_run(tmp_path):
    store = Store(tmp_path)
    written, ended, missed = 60, threading.Event(), []

    def write() -> None:
        for index in range(written):
            store.write(a_record(f"run-{index:03d}"))
        ended.set()

    def keep_compacting() -> None:
        while not ended.is_set():
            compact(Store(tmp_path))

    def keep_reading() -> None:
        most = 0
        while not ended.is_set():
            records, damaged = Store(tmp_path).records()
            if len(records) < most or damaged:
                missed.append((len(records), most, damaged))
            most = max(most, len(records))

    threads = [threading.Thread(target=target) for target in (write, keep_compacting, keep_compacting, keep_reading)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missed == []
    assert len(Store(tmp_path).records()[0]) == written


def test_a_damaged_compacted_file_is_named_by_readers_and_stops_the_compaction(store):
    compact(store)
    (whole,) = [name for name in names(store, "compact") if name.startswith("runs-")]
    store.files.write("compact/runs-0.parquet", b"PAR1 torn")
    records, (damaged,) = Store(store.name).records()
    assert (len(records), damaged.path.rsplit("/")[-1]) == (6, "runs-0.parquet")
    with pytest.raises(InputError, match=r"runs-0.parquet cannot be read .* Nothing was compacted"):
        compact(Store(store.name))
    assert whole in names(store, "compact")


def test_damaged_single_files_and_copies_under_another_name_stay_where_they_are(store):
    store.files.write("runs/torn.parquet", b"PAR1 torn")
    store.files.write("runs/copy of run-0.parquet", store.files.read("runs/run-0.parquet"))
    store.files.write("curves/run-0/part-torn.parquet", b"PAR1")
    done = compact(store)
    assert [file.path.rsplit("/")[-1] for file in done.damaged] == ["torn.parquet"]
    assert {"torn.parquet", "copy of run-0.parquet"} < set(names(store, "runs"))
    assert "run-0/part-torn.parquet" in names(store, "curves/run-0")


def test_a_compacted_file_without_a_required_column_is_damaged(tmp_path):
    store = Store(tmp_path)
    store.files.write("compact/runs-1.parquet", encode_runs([a_record("a")]))
    file = tmp_path / "compact" / "runs-1.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["width"]), file)
    records, (damaged,) = store.records()
    assert (records, store.read("a")) == ([], None)
    assert "width" in damaged.reason


def test_one_store_object_notices_that_another_has_compacted(store):
    before = store.records()
    compact(Store(store.name))
    assert store.records() == before
    assert store.read("run-1") == before[0][1]
