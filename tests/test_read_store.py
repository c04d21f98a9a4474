"""A store as the fit sees it: single and compacted files together give each run once, whoever compacts meanwhile."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from test_figures import a_record

from fitting import read_store, table
from fitting.errors import InputError
from fitting.read import Columns, read_points, read_targets
from fitting.table import read_table
from results.compact import compact
from results.store import Store

COLUMNS = Columns(n_params="n_params_non_embedding")


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path / "store")
    for index in range(6):
        store.write(a_record(f"run-{5 - index}", n=1e5 * (index + 1), started_at=float(index)))
    store.write(a_record("run-9", status="running", loss=None))
    return store


def test_points_of_a_store_are_the_same_before_and_after_a_compaction(store):
    before = read_points([store.name], COLUMNS)
    compact(store)
    after = read_points([store.name], COLUMNS)
    assert (after.digest, after.excluded) == (before.digest, before.excluded)
    assert len(after.loss) == 6
    assert after.excluded == ("1 run with status running",)


def test_n_of_a_store_is_what_model_n_counts_and_targets_are_counted_alike(store, tmp_path):
    assert read_points([store.name]).n_definition == "n_params_non_embedding"
    assert read_points([store.name]).digest == read_points([store.name], COLUMNS).digest
    named = read_points([store.name], Columns(n_params="n_params"))
    assert named.n_definition == "n_params"
    assert (named.n_params > read_points([store.name]).n_params).all()

    def n_of(text: str, counted: str) -> list[float]:
        (tmp_path / "targets.csv").write_text(text)
        return read_targets(str(tmp_path / "targets.csv"), counted=counted)[0].tolist()

    both = "n_params,n_params_non_embedding,d_tokens\n2e6,1e6,1e8\n"
    assert n_of(both, "n_params_non_embedding") == [1e6]
    assert n_of("n_params,d_tokens\n1e6,1e8\n", "n_params_non_embedding") == [
        1e6
    ]  # typed by hand, as the table shows it
    with pytest.raises(InputError, match="no column 'n_params_non_embedding'"):
        n_of("N,d_tokens\n1e6,1e8\n", "n_params_non_embedding")


def test_a_run_whose_own_file_is_newer_counts_once_with_what_that_says(store):
    compact(store)
    store.write(a_record("run-0", loss=2.5))
    points = read_points([store.name], COLUMNS)
    assert len(points.loss) == 6
    assert points.loss[0] == 2.5


def test_a_store_that_is_compacted_while_it_is_read_gives_every_run(store, monkeypatch):
    expected, real, overtaken = read_points([store.name], COLUMNS), table._read_file, []

    def overtaking(file, names):
        if not overtaken:
            overtaken.append(file)
            compact(Store(store.name))
        return real(file, names)

    monkeypatch.setattr(read_store, "THREADS", 1)
    monkeypatch.setattr(table, "_read_file", overtaking)
    assert read_points([store.name], COLUMNS).digest == expected.digest


def test_two_compacted_files_that_hold_one_run_count_it_once(store):
    compact(store)
    (file,) = (store.path / "compact").glob("runs-*.parquet")
    pq.write_table(pq.read_table(file), file.with_name("runs-9.parquet"))
    assert len(read_points([store.name], COLUMNS).loss) == 6


def test_only_the_columns_that_are_asked_for_are_read(store):
    assert set(read_table([store.name])) == set(pq.read_schema(store.path / "runs" / "run-0.parquet").names)
    assert set(read_table([store.name], {"loss", "nowhere"})) == {"loss", "run_id"}


def test_where_may_name_any_column_of_the_store(store):
    assert len(read_points([store.name], COLUMNS, "width == 64 and seed < 1").loss) == 6
    with pytest.raises(InputError, match=r"--where names 'colour'; .* has .*warmup_steps"):
        read_points([store.name], COLUMNS, "colour == 1")
    with pytest.raises(InputError, match=r"no column 'colour'; the file has .*warmup_steps"):
        read_points([store.name], Columns(n_params="colour"))


def test_a_damaged_file_of_a_store_is_refused_by_its_name(store):
    (store.path / "runs" / "torn.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"torn.parquet: not readable as CSV or Parquet"):
        read_points([store.name], COLUMNS)


def test_a_folder_of_other_parquet_files_is_read_row_by_row(store, tmp_path):
    table = pq.read_table(store.path / "runs" / "run-0.parquet")
    for name in ("a", "b"):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    np.testing.assert_array_equal(read_table([str(tmp_path)])["run_id"], ["run-0", "run-0"])
