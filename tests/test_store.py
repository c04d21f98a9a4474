"""The store: one file a run, damaged files named, curves merged over attempts, the first seal holds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

from fitting.errors import InputError
from results.record import RunRecord, RunStatus, record_fields
from results.store import Forecast, Store, check_name, run_schema


def make_record(run_id: str = "a" * 16, **changes) -> RunRecord:
    """Every required column by its type's default value."""
    required = [f for f in dataclasses.fields(RunRecord) if f.default is dataclasses.MISSING]
    kinds = record_fields()
    values = {field.name: kinds[field.name]() for field in required}
    return RunRecord(**{**values, "run_id": run_id, "status": RunStatus.DONE, **changes})


def test_a_record_survives_the_round_trip(tmp_path):
    store = Store(tmp_path)
    record = make_record(loss=3.25, n_params=1e12, sentence="<b>δ</b>", started_at=1.0)
    store.write(record)
    assert store.read(record.run_id) == record
    assert store.records() == ([record], [])
    assert pq.read_schema(tmp_path / "runs" / f"{record.run_id}.parquet").metadata[b"isoflop_schema"] == b"2"


def test_schema_columns_are_the_record_fields():
    assert run_schema().names == [field.name for field in dataclasses.fields(RunRecord)]


def test_a_damaged_file_is_named_and_the_rest_is_read(tmp_path):
    store = Store(tmp_path)
    store.write(make_record())
    for name, content in (("bad", b"garbage"), ("empty", b""), (".half", b"PAR1")):
        (tmp_path / "runs" / f"{name}.parquet").write_bytes(content)
    records, damaged = store.records()
    assert len(records) == 1
    assert sorted(file.path.rsplit("/")[-1] for file in damaged) == ["bad.parquet", "empty.parquet"]
    assert all(file.reason for file in damaged)


def test_a_later_attempt_replaces_overlapping_curve_rows(tmp_path):
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

    store = Store(tmp_path)
    store.write_curve("r", [row(1, 5.0, 1), row(2, 4.0, 1)])
    store.write_curve("r", [row(2, 4.5, 2), row(3, 3.0, 2)])
    np.testing.assert_array_equal(store.curve("r")["loss"], [5.0, 4.5, 3.0])
    assert len(store.curve("nobody")["loss"]) == 0


def test_the_first_sealed_forecast_holds(tmp_path):
    store = Store(tmp_path)
    first = Forecast("r", "chinchilla", "h", 15, "n", 3.0, 2.9, 3.1, 0.9, 4.0, "converged", "", 1.0)
    assert store.seal(first) == first
    assert store.seal(dataclasses.replace(first, loss=2.0)) == first
    assert store.forecast("r") == first
    assert store.forecast("s") is None


@pytest.mark.parametrize("name", ["../../x", "", "a/b", ".hidden", "x" * 101, "a b"])
def test_hostile_names_are_refused(name):
    with pytest.raises(InputError, match="allowed are 1 to 100 letters"):
        check_name("name", name)


def test_an_unwritable_store_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path / "file").require_writable()
