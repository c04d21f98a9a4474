"""Rows of other schemas: what version 1 wrote is read as a record of today, what a later one wrote is not touched."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_figures import a_record

from fitting.errors import InputError
from results.compact import compact
from results.record import SCHEMA_VERSION
from results.run_file import encode_run, encode_runs
from results.store import Store

# The columns of schema 1 as commit 438e64a wrote them, by type.
TEXT = """run_id sweep role status sentence spec_json optimiser schedule corpus corpus_fingerprint tokenizer host
    device launcher python_version jax_version isoflop_version git_commit"""
WHOLE = """attempt width depth heads mlp_width vocab_size sequence batch_tokens steps seed eval_tokens eval_bytes
    last_step pid devices cpu_threads"""
REAL = """learning_rate beta1 beta2 epsilon weight_decay clip_norm warmup_fraction decay_fraction unique_tokens epochs
    n_params n_params_non_embedding n_params_flops d_tokens flops flops_6nd loss loss_se bpb train_loss seconds
    compile_seconds eval_seconds tokens_per_second flops_per_second mfu started_at finished_at"""
TEXT_1, WHOLE_1, REAL_1 = (names.split() for names in (TEXT, WHOLE, REAL))
KINDS = {**dict.fromkeys(TEXT_1, pa.string()), **dict.fromkeys(WHOLE_1, pa.int64())}
SCHEMA_1 = pa.schema(
    [(name, KINDS.get(name, pa.float64())) for name in [*TEXT_1, *WHOLE_1, *REAL_1]], {"isoflop_schema": "1"}
)
DENSE = {"width": 64, "depth": 2, "heads": 4, "mlp_width": 256, "vocab_size": 512}
EXPERTS = {**DENSE, "queries_per_key": 2, "mlp": "swiglu", "experts": 8, "experts_per_token": 2}


def write_version_1(folder: Path, run_id: str, architecture: dict) -> None:
    row = {name: 1 for name in [*WHOLE_1, *REAL_1]} | dict.fromkeys(TEXT_1, "text") | DENSE
    row |= {"run_id": run_id, "status": "done", "steps": 200, "warmup_fraction": 0.1, "d_tokens": 1e6, "flops": 7e11}
    row |= {"n_params_non_embedding": 1e6, "flops_6nd": 6e12, "git_commit": None, "mfu": None}
    row["spec_json"] = json.dumps({"version": 1, "architecture": architecture})
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([row], schema=SCHEMA_1)
    pq.write_table(table, folder / "runs" / f"{run_id}.parquet", compression="zstd")


def test_a_run_of_version_1_is_read_with_what_was_then_the_only_choice(tmp_path):
    write_version_1(tmp_path, "old", DENSE)
    (record,), damaged = Store(tmp_path).records()
    assert damaged == []
    assert Store(tmp_path).read("old") == record
    assert (record.warmup_steps, record.decay_exponent, record.precision) == (20, 0.0, "float32")
    assert (record.mlp, record.kv_heads, record.experts, record.parametrisation) == ("squared_relu", 4, 1, "complete_p")
    assert (record.n_params_active, record.flops_6nd, record.flops_spent) == (1e6, 6e12, 7e11)
    assert (record.trunk, record.packed, record.mesh, record.mfu) == (None, 1, "1x1x1", None)


def test_experts_that_a_token_does_not_meet_are_no_active_parameters(tmp_path):
    """6 idle experts x 2 blocks x 3 matrices x 64 x 256 = 589,824."""
    write_version_1(tmp_path, "old", EXPERTS)
    (record,), _ = Store(tmp_path).records()
    assert (record.kv_heads, record.mlp, record.experts) == (2, "swiglu", 8)
    assert record.n_params_active == 1e6 - 589_824
    assert record.flops_6nd == 6 * record.n_params_active * 1e6


def test_runs_of_version_1_are_compacted_as_those_of_today(tmp_path):
    write_version_1(tmp_path, "old", DENSE)
    Store(tmp_path).write(a_record("new"))
    before = Store(tmp_path).records()
    compact(Store(tmp_path))
    assert Store(tmp_path).records() == before
    (file,) = (tmp_path / "compact").glob("runs-*.parquet")
    assert pq.read_schema(file).metadata[b"isoflop_schema"] == str(SCHEMA_VERSION).encode()


def test_a_compacted_file_of_version_1_is_migrated_row_by_row(tmp_path):
    write_version_1(tmp_path, "old", DENSE)
    before = Store(tmp_path).records()
    (tmp_path / "compact").mkdir()
    (tmp_path / "runs" / "old.parquet").rename(tmp_path / "compact" / "runs-1.parquet")
    assert Store(tmp_path).records() == before


def test_a_row_of_version_1_that_is_none_is_damaged_and_named(tmp_path):
    write_version_1(tmp_path, "old", {"width": 64})
    records, (damaged,) = Store(tmp_path).records()
    assert (records, damaged.newer) == ([], False)
    assert "heads" in damaged.reason or "depth" in damaged.reason


def test_parameters_of_a_run_of_version_1_are_refused_in_one_line(tmp_path):
    from sweep.trained import load_run

    write_version_1(tmp_path, "old", DENSE)
    with pytest.raises(InputError, match=r"was trained by another version of isoflop .*spec version 1"):
        load_run(Store(tmp_path), "old")


def newer(file: Path) -> None:
    table = pq.read_table(file)
    pq.write_table(table.replace_schema_metadata({"isoflop_schema": str(SCHEMA_VERSION + 1)}), file)


@pytest.mark.parametrize("compacted", [False, True])
def test_what_a_newer_version_wrote_is_named_left_out_and_never_overwritten(tmp_path, compacted):
    store = Store(tmp_path)
    store.write(a_record("mine"))
    if compacted:
        store.files.write("compact/runs-1.parquet", encode_runs([a_record("theirs")]))
    else:
        store.files.write("runs/theirs.parquet", encode_run(a_record("theirs")))
    store.require_writable()
    newer(tmp_path / ("compact/runs-1.parquet" if compacted else "runs/theirs.parquet"))
    records, (damaged,) = store.records()
    assert [record.run_id for record in records] == ["mine"]
    assert damaged.newer
    versions = f"(schema {SCHEMA_VERSION + 1}, this one reads up to {SCHEMA_VERSION})"
    assert damaged.reason == f"written by a newer version {versions}; upgrade isoflop"
    with pytest.raises(InputError, match=r"was written by a newer version .* upgrade isoflop, or give another store"):
        store.require_writable()
    if compacted:
        with pytest.raises(InputError, match="newer version"):
            compact(store)
    else:
        compact(store)
        assert (tmp_path / "runs" / "theirs.parquet").exists()
