"""The store: one file a run, damaged files named, curves merged over attempts."""

from __future__ import annotations

import dataclasses
import math
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fitting.errors import InputError
from results.measurement import Measurement
from results.record import RunRecord, RunStatus, record_fields
from results.store import Store, check_name, run_schema


def make_record(run_id: str = "a" * 16, **changes) -> RunRecord:
    """Every required column by its type's default value."""
    required = [f for f in dataclasses.fields(RunRecord) if f.default is dataclasses.MISSING]
    kinds = record_fields()
    values = {field.name: kinds[field.name]() for field in required}
    return RunRecord(**{**values, "run_id": run_id, "status": RunStatus.DONE, **changes})


@pytest.fixture(params=["folder", "file", "memory"])
def store(request, tmp_path, monkeypatch) -> Store:
    """In a folder, by the URL of a folder, and behind a URL."""
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    names = {"folder": f"{tmp_path}/store", "file": f"file://{tmp_path}/store", "memory": f"memory://{tmp_path}"}
    return Store(names[request.param])


def test_a_record_survives_the_round_trip(store):
    record = make_record(loss=3.25, n_params=1e12, sentence="<b>δ</b>", started_at=1.0)
    assert store.read(record.run_id) is None
    store.write(record)
    assert store.read(record.run_id) == record
    assert store.records() == ([record], [])
    assert Store(store.name).records() == ([record], [])


def test_values_that_json_has_no_word_for_survive_the_round_trip(store):
    record = make_record(loss=math.nan, bpb=-math.inf, epochs=math.inf, flops=1 / 3, spec_json='{"\\u0000": "\\""}')
    store.write(record)
    read = store.read(record.run_id)
    assert math.isnan(read.loss)
    assert (read.bpb, read.epochs, read.flops, read.spec_json) == (-math.inf, math.inf, 1 / 3, record.spec_json)


def test_a_run_file_is_plain_parquet_for_everybody_else(tmp_path):
    record = make_record(loss=3.25, trunk="b" * 16)
    Store(tmp_path).write(record)
    table = pq.read_table(tmp_path / "runs" / f"{record.run_id}.parquet")
    assert table.schema.equals(run_schema())
    assert table.to_pylist() == [dataclasses.asdict(record)]
    assert table.schema.metadata[b"isoflop_schema"] == b"2"


def test_a_run_file_that_another_program_wrote_again_is_read_by_its_columns(tmp_path):
    """Its footer still holds the row as it was."""
    store, record = Store(tmp_path), make_record(loss=3.25)
    store.write(record)
    file = tmp_path / "runs" / f"{record.run_id}.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.column_names.index("loss"), "loss", [[2.5]]), file)
    assert store.read(record.run_id) == record.replace(loss=2.5)


def test_a_column_of_another_kind_is_damage_and_an_unknown_one_is_left_out(tmp_path):
    store, record = Store(tmp_path), make_record(loss=3.25)
    store.write(record)
    file = tmp_path / "runs" / f"{record.run_id}.parquet"
    table = pq.read_table(file)
    pq.write_table(table.append_column("colour", [["red"]]), file)
    assert store.records() == ([record], [])
    pq.write_table(table.set_column(table.column_names.index("loss"), "loss", [["low"]]), file)
    records, (damaged,) = store.records()
    assert (records, damaged.reason) == ([], "column loss is 'low'")
    pq.write_table(table.drop_columns(["width"]), file)
    assert store.records()[1][0].reason == "column width is missing"


def test_a_store_remembers_what_it_read_until_the_file_is_another_one(store, monkeypatch):
    store.write(make_record(loss=3.0))
    store.records()
    read = []
    real = type(store.files).read
    monkeypatch.setattr(type(store.files), "read", lambda files, name: read.append(name) or real(files, name))
    assert store.records()[0][0].loss == 3.0
    assert read == []
    store.write(make_record(loss=2.0))
    assert store.records()[0][0].loss == 2.0
    store.files.delete(f"runs/{'a' * 16}.parquet")
    assert store.records() == ([], [])


@pytest.mark.parametrize("count", [1, 7, 8, 300])
def test_many_runs_are_read_in_the_order_in_which_they_began(tmp_path, count):
    store = Store(tmp_path)
    for index in range(count):
        store.write(make_record(f"run-{index:03d}", started_at=float(-index)))
    assert [record.run_id for record in store.records()[0]] == [f"run-{index:03d}" for index in reversed(range(count))]


def test_names_of_runs_that_lead_elsewhere_are_refused_and_never_followed(store, tmp_path):
    (tmp_path / "secret.parquet").write_bytes(b"")
    for name in ("../secret", "..", "a/b", "", ".hidden"):
        for write in (
            lambda name: store.write(make_record(name)),
            lambda name: store.write_curve(name, [{"step": 1, "attempt": 1}]),
            lambda name: store.checkpoint_folder(name),
            lambda name: store.forecasts_of(name),
        ):
            with pytest.raises(InputError, match="allowed are 1 to 100 letters"):
                write(name)
        assert store.read(name) is None
        assert store.measurements(name) == []
        assert len(store.curve(name)["loss"]) == 0


def test_a_file_name_that_is_hostile_is_harmless(tmp_path):
    store = Store(tmp_path)
    store.write(make_record("good"))
    hostile = tmp_path / "runs" / "$(touch x); [red]\n..parquet"
    hostile.write_bytes((tmp_path / "runs" / "good.parquet").read_bytes())
    assert [record.run_id for record in store.records()[0]] == ["good"]


def test_where_a_store_lies_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert Store("store").local == Path("store")
    assert Store("store").address == str(tmp_path / "store")
    assert Store(f"file://{tmp_path}/store").local == Store(f"file://{tmp_path}/store").path == tmp_path / "store"
    remote = Store("memory://bucket/store")
    assert remote.name == remote.address == "memory://bucket/store"
    assert remote.local.parent == tmp_path / "cache" / "stores"
    assert remote.local == Store("memory://bucket/store/").local != Store("memory://bucket/other").local
    assert remote.checkpoint_folder("r").is_relative_to(remote.local)
    with pytest.raises(InputError, match="is no folder, which this needs"):
        _ = remote.path


def test_texts_and_measurements_lie_where_the_store_lies(store):
    store.write_text("fits/a.json", "δ")
    assert store.files.read("fits/a.json").decode() == "δ"
    one = Measurement(5, 1e5, 1, "all", "all", "loss", 3.0, None, 64)
    store.write_measurements("r", [one])
    store.write_measurements("r", [dataclasses.replace(one, value=2.0)])
    store.write_measurements("r", [dataclasses.replace(one, step=3)])
    assert [(row.step, row.value) for row in store.measurements("r")] == [(3, 3.0), (5, 2.0)]


def test_a_folder_comes_back_as_it_was_put(store, tmp_path):
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    (source / "90" / "state").mkdir(parents=True)
    (source / "90" / "state" / "array").write_bytes(b"x" * 100_000)
    assert store.get_folder("checkpoints/r.tar", target) is False
    assert not target.exists()
    store.put_folder("checkpoints/r.tar", source)
    (target / "80").mkdir(parents=True)
    assert store.get_folder("checkpoints/r.tar", target) is True
    assert [str(path.relative_to(target)) for path in sorted(target.rglob("*"))] == ["90", "90/state", "90/state/array"]
    assert (target / "90" / "state" / "array").read_bytes() == b"x" * 100_000
    assert os.listdir(target.parent) == ["target"]


def test_a_torn_folder_or_one_that_leads_outside_replaces_nothing(store, tmp_path):
    target = tmp_path / "target"
    (target / "kept").mkdir(parents=True)
    with tarfile.open(tmp_path / "hostile.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../../outside"))
    for data in (b"torn", (tmp_path / "hostile.tar").read_bytes()):
        store.files.write("checkpoints/r.tar", data)
        with pytest.raises(InputError, match="is no whole folder"):
            store.get_folder("checkpoints/r.tar", target)
        assert os.listdir(target) == ["kept"]
    assert not (tmp_path / "outside").exists()


def test_schema_columns_are_the_record_fields():
    assert run_schema().names == [field.name for field in dataclasses.fields(RunRecord)]


def test_a_damaged_file_is_named_and_the_rest_is_read(store):
    store.write(make_record())
    for name, content in (("bad", b"garbage"), ("empty", b""), (".half", b"PAR1")):
        store.files.write(f"runs/{name}.parquet", content)
    records, damaged = store.records()
    assert len(records) == 1
    assert sorted(file.path.rsplit("/")[-1] for file in damaged) == ["bad.parquet", "empty.parquet"]
    assert all(file.reason for file in damaged)


def test_a_later_attempt_replaces_overlapping_curve_rows(store):
    def row(step, loss, attempt):
        return {
            "step": step,
            "tokens": step,
            "loss": loss,
            "learning_rate": 1,
            "gradient_norm": 1,
            "seconds": 1,
            "attempt": attempt,
        }

    store.write_curve("r", [row(1, 5.0, 1), row(2, 4.0, 1)])
    store.write_curve("r", [row(2, 4.5, 2), row(3, 3.0, 2)])
    np.testing.assert_array_equal(store.curve("r")["loss"], [5.0, 4.5, 3.0])
    assert len(store.curve("nobody")["loss"]) == 0


@pytest.mark.parametrize("name", ["../../x", "", "a/b", ".hidden", "x" * 101, "a b"])
def test_hostile_names_are_refused(name):
    with pytest.raises(InputError, match="allowed are 1 to 100 letters"):
        check_name("name", name)


def test_an_unwritable_store_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path / "file").require_writable()
    Store(tmp_path / "fine").require_writable()
    assert os.listdir(tmp_path / "fine" / "runs") == []
