"""The wide table of a store: one column a figure, none of them two things at once."""

from __future__ import annotations

import csv

import pytest
from test_figures import a_record

from fitting.errors import InputError
from results.export import wide_rows, write_export
from results.measurement import Measurement
from results.store import Store


def measured(kind: str, name: str, metric: str, value: float, step: int = 100) -> Measurement:
    return Measurement(step, 1e5, 1, kind, name, metric, value, None, 64)


@pytest.fixture
def store(tmp_path) -> Store:
    """A run whose domains are called as positions, the whole and escaped names are; every figure has a value."""
    store = Store(tmp_path / "store")
    store.write(a_record("some-run"))
    figures = [
        measured("all", "all", "loss", 3.0),
        measured("all", "all", "bpb", 2.0),
        measured("domain", "1", "loss", 3.1),
        measured("domain", "1", "bpb", 2.1),
        measured("domain", "all", "loss", 3.2),
        measured("domain", "domain:all", "loss", 3.3),
        measured("domain", "code", "loss", 3.4),
        measured("position", "1", "loss", 5.0),
        measured("position", "2", "loss", 4.0),
        measured("task", "arithmetic/2-digit", "accuracy", 0.25),
    ]
    store.write_measurements("some-run", [measured("domain", "code", "loss", 9.0, step=50), *figures])
    return store


def test_every_figure_of_the_last_evaluation_has_a_column_of_its_own(store):
    """A domain called 1 and the first position were both loss:1, a domain called all and the whole both loss:all."""
    (row,) = wide_rows(store)
    assert {name: value for name, value in row.items() if ":" in name} == {
        "loss:all": 3.0,
        "bpb:all": 2.0,
        "loss:1": 3.1,
        "bpb:1": 2.1,
        "loss:domain:all": 3.2,
        "loss:domain:domain:all": 3.3,
        "loss:code": 3.4,
        "loss_at_position:1": 5.0,
        "loss_at_position:2": 4.0,
        "accuracy:arithmetic/2-digit": 0.25,
    }


def test_the_table_is_written_by_its_suffix(store, tmp_path):
    assert write_export(store, tmp_path / "runs.csv") == 1
    with (tmp_path / "runs.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["run_id"], row["loss:1"], row["loss_at_position:1"]) == ("some-run", "3.1", "5")
    with pytest.raises(InputError, match="allowed are names that end in"):
        write_export(store, tmp_path / "runs.txt")
