"""Every format of text, read from files made by its own real library: document for document."""

from __future__ import annotations

import bz2
import gzip
import json
import os
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpora import KINDS, TEXTS, documents, made, refused, rows, write_texts

from fitting.errors import InputError
from sweep.data import sources
from sweep.data.corpus import Corpus
from sweep.data.prepare import prepare
from sweep.data.settings import DataSettings
from sweep.data.sources import hugging_face, jsonl, parquet, text

# Text


def test_a_folder_of_text_has_its_sub_folders_as_domains(tmp_path):
    folder = tmp_path / "texts"
    write_texts(folder)
    for name, content in {"a.png": b"\x89PNG", "web/empty": b" \n", ".hidden": b"x", "__pycache__/a.py": b"x"}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    os.symlink("nowhere", folder / "dangling")
    os.mkfifo(folder / "pipe")
    corpus = made(tmp_path, "text", folder)
    assert documents(corpus) == rows(["text", *KINDS[1:]])
    assert corpus.info.domains == ("books", "code", "text", "web")
    assert corpus.info.skipped == 2  # no UTF-8, and nothing but spaces
    assert corpus.info.train_bytes + corpus.info.held_out_bytes == sum(len(row.encode()) for row in TEXTS)


@pytest.mark.parametrize("pattern", ["**/*.txt", "*/deep/1*.txt", "web/*/?[0-9].txt"])
def test_a_glob_gives_the_files_that_it_matches(tmp_path, pattern):
    write_texts(tmp_path / "texts")
    corpus = made(tmp_path, "text", tmp_path / "texts" / pattern)
    expected = sorted(path.read_bytes() for path in (tmp_path / "texts").glob(pattern))
    assert sorted(content for _, content in documents(corpus)) == expected


@pytest.mark.parametrize("part_bytes", [text.PART_BYTES, 50_000, 99_991])
@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_a_long_file_is_cut_into_documents_that_join_to_it_exactly(tmp_path, monkeypatch, suffix, part_bytes):
    """Also where its lines are longer than a part, or end in \\r\\n, and characters lie across every cut."""
    monkeypatch.setattr(text, "PART_BYTES", part_bytes)
    lines = [f"line {i} é€😀\r\n" * (i % 3) + "\n" for i in range(3000)]
    content = ("".join(lines[:1500]) + "x" + "é€😀" * 20_000 + "\n" + "".join(lines[1500:])).encode()
    file = tmp_path / f"book{suffix}"
    file.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    settings = DataSettings("text", ((None, str(file)),))
    parts = sources.parts(settings)
    assert len(parts) == (-(-len(content) // part_bytes) if suffix == ".txt" else 1)
    read = [document for part in parts for document in sources.read(settings, part)]
    assert b"".join(document.text for document in read) == content
    sizes = [len(document.text) for document in read]
    assert np.median(sizes) == pytest.approx(text.PIECE, rel=0.05)
    assert max(sizes) <= text.PIECE + text.LONGEST_LINE + 3
    assert made(tmp_path, "text", file).info.documents == len(read)


@pytest.mark.parametrize("separate", [False, True])
def test_a_file_that_is_no_utf8_is_refused_where_it_is_named(tmp_path, separate):
    file = tmp_path / "latin.txt"
    content = b"fine\n" * (60_000 if separate else 10)
    file.write_bytes(content + "caf\xe9".encode("latin-1"))
    refused(tmp_path, rf"latin.txt is not UTF-8 text \(byte 0xe9 at {len(content) + 3}\)", "text", file)


@pytest.mark.parametrize("pattern", ["", "/*/*/*.txt"])
def test_a_url_gives_the_same_corpus_as_the_local_files(tmp_path, pattern):
    fsspec = pytest.importorskip("fsspec")
    folder = tmp_path / "texts"
    write_texts(folder)
    (folder / "web" / "long.txt").write_text("é" * 150_000 + "\n" + "line\n" * 20_000, encoding="utf-8")
    for hidden in (".git", "__pycache__"):
        (folder / hidden / "deep").mkdir(parents=True)
        (folder / hidden / "deep" / "a.txt").write_text("not read")
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), f"/{tmp_path.name}", recursive=True)
    local = prepare(DataSettings("text", ((None, f"{folder}{pattern}"),), tokenizer="bytes"), out=tmp_path / "a")
    for number, url in enumerate((f"memory://{tmp_path.name}", f"file://{folder}")):
        remote = DataSettings("text", ((None, url + pattern),), tokenizer="bytes")
        assert prepare(remote, out=tmp_path / f"b{number}").info.fingerprint == local.info.fingerprint
    memory.rm(f"/{tmp_path.name}", recursive=True)


def test_paths_that_lead_nowhere_are_one_line(tmp_path):
    (tmp_path / "none").mkdir()
    for path, message in {
        "none": "holds no file",
        "missing": "is not there",
        "*.txt": "matches no file",
        "memory://no/where": "cannot be read|holds no file",
        "nosuch://a": "cannot be read",
    }.items():
        refused(tmp_path, message, "text", path if "://" in path else tmp_path / path)
    refused(tmp_path, "data.path is not set", "text", None)
    refused(tmp_path, "allowed are text, jsonl, .* and prepared", "csv", tmp_path)


# JSON lines


def pack(content: bytes, suffix: str) -> bytes:
    if suffix == ".zst":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(content)
        return sink.getvalue().to_pybytes()
    return {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[suffix](content)


def json_lines() -> bytes:
    """Every kind of line end and blank line, escaped characters and plain ones."""
    return b"".join(
        json.dumps({"id": i, "text": row, "kind": kind}, ensure_ascii=bool(i % 2)).encode()
        + (b"\n", b"\r\n", b"\n \n")[i % 3]
        for i, (row, kind) in enumerate(zip(TEXTS, KINDS, strict=True))
    )


@pytest.mark.parametrize("part_bytes", [jsonl.PART_BYTES, 997, 20])
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".bz2"])
def test_json_lines(tmp_path, monkeypatch, suffix, part_bytes):
    monkeypatch.setattr(jsonl, "PART_BYTES", part_bytes)
    content = json_lines()
    half = content.index(b"\n", len(content) // 2) + 1
    file = tmp_path / f"rows.jsonl{suffix}"
    # Two compressed streams in one file, as `cat a.gz b.gz` and parallel compressors write.
    file.write_bytes(pack(content[:half], suffix) + pack(content[half:].rstrip(), suffix))
    corpus = made(tmp_path, "auto", file, domain_column="kind")
    assert documents(corpus) == rows(KINDS)
    assert corpus.info.skipped == 0


def test_rows_without_text_are_skipped_and_domains_are_those_of_the_paths(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(json_lines() + b'{"text": ""}\n{"text": null}\n{"text": "\\ud800"}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "one"}')
    paths = (("some", str(tmp_path / "a.jsonl")), ("others", str(tmp_path / "b.jsonl")))
    corpus = prepare(DataSettings("jsonl", paths, tokenizer="bytes"), out=tmp_path / "corpus")
    assert documents(corpus) == [("others", b"one"), *rows("some")]
    assert corpus.info.skipped == 3


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    [
        (b'{"text": "a"}\n{"text": "b\n', "", "bad.jsonl: the line at byte 14 is no JSON"),
        (b'{"text": "caf\xe9"}\n', "", "byte 0 is no JSON: not UTF-8"),
        (b"[1]\n", "", "no JSON object"),
        (b'{"body": "a"}\n', "", "no column 'text'; its columns are body"),
        (b'{"text": 7}\n', "", "holds '7', which is no text"),
        (b'{"text": "a"}\n', "domain", "no column 'kind'"),
        (pack(json_lines(), ".gz")[:-20], ".gz", "bad.jsonl.gz cannot be read"),
        (pack(json_lines(), ".zst")[:-20], ".zst", "bad.jsonl.zst cannot be read"),
        (b"no gzip", ".gz", "bad.jsonl.gz cannot be read"),
        (b"", "", "nothing but empty files"),
        (b"\n\n", "", "0 different documents"),
    ],
)
def test_bad_json_lines_are_one_line(tmp_path, content, suffix, message):
    compression = suffix.removeprefix("domain")
    (tmp_path / f"bad.jsonl{compression}").write_bytes(content)
    column = "kind" if suffix == "domain" else None
    refused(tmp_path, message, "jsonl", tmp_path / f"bad.jsonl{compression}", domain_column=column)


# Parquet and Hugging Face


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_parquet(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(parquet, "PART_BYTES", 5_000)
    table = pa.table({"id": range(200), "body": pa.array([*TEXTS[:-1], None], kind), "kind": KINDS})
    (tmp_path / "rows").mkdir()
    pq.write_table(table.slice(0, 130), tmp_path / "rows" / "a.parquet", row_group_size=17)
    pq.write_table(table.slice(130), tmp_path / "rows" / "b.parquet", compression="zstd")
    corpus = made(tmp_path, "auto", tmp_path / "rows", column="body", domain_column="kind")
    assert documents(corpus) == sorted(zip(KINDS[:-1], (row.encode() for row in TEXTS[:-1]), strict=True))
    assert corpus.info.skipped == 1


def test_bad_parquet_is_one_line(tmp_path):
    file = tmp_path / "bad.parquet"
    pq.write_table(pa.table({"text": TEXTS, "id": range(200)}), file)
    refused(tmp_path, "no column 'body'; its columns are text, id", "parquet", file, column="body")
    refused(tmp_path, "column 'id' holds '0', which is no text", "parquet", file, column="id")
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    refused(tmp_path, "bad.parquet cannot be read as Parquet", "parquet", file)
    file.write_bytes(content[:40] + b"\xff" * 600 + content[640:])  # the footer is whole
    refused(tmp_path, "bad.parquet cannot be read as Parquet", "parquet", file)


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    found = pytest.importorskip("datasets")
    monkeypatch.setattr(found.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(found.config, "HF_MODULES_CACHE", tmp_path / "modules")
    return found


@pytest.mark.parametrize("with_splits", [False, True])
def test_a_hugging_face_data_set_on_disk(tmp_path, monkeypatch, datasets, with_splits):
    monkeypatch.setattr(hugging_face, "ROWS_A_PART", 30)
    saved = datasets.Dataset.from_dict({"text": TEXTS, "kind": KINDS})
    other = datasets.Dataset.from_dict({"text": ["not read"], "kind": ["no"]})
    (datasets.DatasetDict({"test": saved, "train": other}) if with_splits else saved).save_to_disk(tmp_path / "set")
    fields = {"split": "test", "domain_column": "kind"} if with_splits else {}
    source = "hugging_face" if with_splits else "auto"
    assert documents(made(tmp_path, source, tmp_path / "set", **fields)) == rows(KINDS if with_splits else "set")


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_hugging_face_folder_is_streamed(tmp_path, datasets, suffix):
    (tmp_path / "set").mkdir()
    table = datasets.Dataset.from_dict({"text": TEXTS, "kind": KINDS})
    for shard in range(3):
        part = table.shard(3, shard)
        name = str(tmp_path / "set" / f"train-{shard}.{suffix}")
        part.to_parquet(name) if suffix == "parquet" else part.to_json(name)
    assert documents(made(tmp_path, "hugging_face", tmp_path / "set", domain_column="kind")) == rows(KINDS)
    os.utime(name, (1, 2**31))  # a file changed: another corpus
    with pytest.raises(InputError, match="prepared from other files"):
        made(tmp_path, "hugging_face", tmp_path / "set", domain_column="kind")


def test_bad_hugging_face_data_is_one_line(tmp_path, datasets):
    refused(tmp_path, "cannot be loaded", "hugging_face", tmp_path / "nowhere")
    datasets.DatasetDict({"test": datasets.Dataset.from_dict({"text": TEXTS})}).save_to_disk(tmp_path / "set")
    refused(tmp_path, "split 'train', cannot be loaded: its splits are test", "hugging_face", tmp_path / "set")
    refused(tmp_path, "has no column 'body'", "hugging_face", tmp_path / "set", split="test", column="body")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "train.jsonl").write_text('{"text": "a"}\n' * 10 + "{ broken")
    refused(tmp_path, "cannot be (loaded|read)", "hugging_face", tmp_path / "rows")


# Manifests


def test_the_same_content_is_kept_once_and_counted(tmp_path):
    write_texts(tmp_path / "texts")
    for number in (3, 4, 5):
        (tmp_path / "texts" / f"copy{number}.txt").write_bytes(TEXTS[number].encode())
    info = made(tmp_path, "text", tmp_path / "texts").info
    assert (info.documents, info.duplicates) == (200, 3)
    assert info.train_bytes + info.held_out_bytes == sum(len(row.encode()) for row in TEXTS)


def test_what_is_held_out_depends_on_content_alone(tmp_path):
    write_texts(tmp_path / "texts")
    before = made(tmp_path / "a", "text", tmp_path / "texts")
    (tmp_path / "moved").mkdir()
    for number, file in enumerate(sorted((tmp_path / "texts").rglob("*.*"))):
        file.rename(tmp_path / "moved" / f"{number}.py")
    after = made(tmp_path / "b", "text", tmp_path / "moved")
    for split in ("train", "held_out"):
        assert Counter(content for _, content in documents(before, split)) == Counter(
            content for _, content in documents(after, split)
        )
    assert 2 <= before.info.held_out_documents <= 25  # of 200, one in 20


def test_a_named_held_out_file_is_all_held_out_and_never_trained_on(tmp_path):
    write_texts(tmp_path / "texts")
    (tmp_path / "judge.jsonl").write_text(json.dumps({"text": TEXTS[7]}) + '\n{"text": "new"}')
    paths = ((None, str(tmp_path / "texts")),)
    settings = DataSettings("auto", paths, held_out_paths=(str(tmp_path / "judge.jsonl"),), tokenizer="bytes")
    corpus = prepare(settings, out=tmp_path / "corpus")
    assert [content for _, content in documents(corpus, "held_out")] == sorted([b"new", TEXTS[7].encode()])
    assert TEXTS[7].encode() not in [content for _, content in documents(corpus, "train")]
    assert corpus.info.documents == 201


def test_a_corpus_that_changed_is_refused(tmp_path):
    write_texts(tmp_path / "texts")
    corpus = made(tmp_path, "text", tmp_path / "texts")
    corpus.verify()
    shard = corpus.folder / corpus.info.shards[0].file
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for damage, act, message in (
        (lambda: None, Corpus.open(corpus.folder).verify, f"{shard.name} has SHA-256"),
        (lambda: shard.write_bytes(content[:-2]), lambda: Corpus.open(corpus.folder), f"{shard.name} has"),
        (shard.unlink, lambda: Corpus.open(corpus.folder), f"{shard.name} is missing"),
        ((corpus.folder / "manifest.json").unlink, lambda: Corpus.open(corpus.folder), "manifest.json is missing"),
    ):
        damage()
        with pytest.raises(InputError, match=message) as caught:
            act()
        assert "\n" not in str(caught.value)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    write_texts(tmp_path / "texts")
    settings = DataSettings("text", ((None, str(tmp_path / "texts")),), tokenizer="bytes")
    with pytest.raises(InputError, match="is not empty and holds no corpus"):
        prepare(settings, out=tmp_path / "texts" / "web")
    prepare(settings, out=tmp_path / "corpus")
    (tmp_path / "texts" / "new.txt").write_text("one more")
    with pytest.raises(InputError, match="was prepared from other files or settings") as caught:
        prepare(settings, out=tmp_path / "corpus")
    assert "\n" not in str(caught.value)
