"""Every format, read from files made by its own real library or by its public layout: document for document."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fitting.errors import InputError
from sweep.data import sources
from sweep.data.corpus import Corpus
from sweep.data.prepare import prepare
from sweep.data.settings import DataSettings
from sweep.data.sources import hugging_face, jsonl, megatron, parquet, shards, synthetic, text

TEXTS = [f"row {i}\r\n  “{i**3}” é€😀\u2028\n" + "word " * (i % 40) for i in range(200)]
KINDS = [("web", "code", "books")[i % 3] for i in range(200)]
END = 50256  # GPT-2's end of text, as nanoGPT and llm.c write it


def made(tmp_path: Path, source: str, path: str | Path | None, tokenizer: str = "bytes", **fields) -> Corpus:
    paths = () if path is None else ((None, str(path)),)
    return prepare(DataSettings(source, paths, tokenizer=tokenizer, **fields), out=tmp_path / "corpus", workers=1)


def refused(tmp_path: Path, message: str, source: str, path: str | Path | None, tokenizer: str = "bytes", **fields):
    with pytest.raises(InputError, match=message) as caught:
        made(tmp_path, source, path, tokenizer, **fields)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "corpus").exists()


def documents(corpus: Corpus, *splits: str) -> list[tuple[str, bytes]]:
    """(domain, text), sorted."""
    return sorted(
        (stream.domain, corpus.tokenizer.text(document))
        for split in splits or ("train", "held_out")
        for stream in corpus.streams(split)
        for document in stream.documents(corpus.info.separator)
    )


def rows(domains: list[str] | str) -> list[tuple[str, bytes]]:
    """What `documents` gives for TEXTS."""
    named = [domains] * len(TEXTS) if isinstance(domains, str) else domains
    return sorted(zip(named, (row.encode() for row in TEXTS), strict=True))


def write_texts(folder: Path) -> None:
    for number, (row, kind) in enumerate(zip(TEXTS, KINDS, strict=True)):
        path = folder / kind / "deep" / f"{number}.txt" if number else folder / "top.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row.encode())


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


# Tokens


def token_documents(count: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, END, size=rng.integers(3, 50)) for _ in range(count)]


def streams(corpus: Corpus, split: str) -> list[bytes]:
    """Documents of a split by its separators, each as the bytes of int64; sorted."""
    return sorted(
        document.astype(np.int64).tobytes()
        for stream in corpus.streams(split)
        for document in stream.documents(corpus.info.separator)
    )


def as_bytes(found: list[np.ndarray]) -> list[bytes]:
    return sorted(document.astype(np.int64).tobytes() for document in found)


def write_llm_c(path: Path, tokens: np.ndarray, magic: int, version: int, dtype: str) -> None:
    """As write_datafile of llm.c's dev/data/data_common.py."""
    header = np.zeros(256, dtype=np.int32)
    header[:3] = magic, version, len(tokens)
    path.write_bytes(header.tobytes() + tokens.astype(dtype).tobytes())


@pytest.mark.parametrize("kind", ["nanogpt", "gpt-2", "llama-3"])
def test_token_files_of_nanogpt_and_llm_c(tmp_path, monkeypatch, kind):
    """nanoGPT's prepare.py puts the end of text behind each document, llm.c's before."""
    train, held_out = token_documents(300, 0), token_documents(20, 1)
    folder = tmp_path / "interval"
    folder.mkdir()
    for name, chosen in (("train", train), ("val", held_out)):
        if kind == "nanogpt":
            np.concatenate([[*document, END] for document in chosen]).astype(np.uint16).tofile(folder / f"{name}.bin")
            continue
        tokens = np.concatenate([[END, *document] for document in chosen])
        path = folder / f"fineweb_{name}_000000.bin"
        write_llm_c(path, tokens, *((20240520, 1, "<u2") if kind == "gpt-2" else (20240801, 7, "<u4")))
    (folder / "meta.pkl").write_bytes(b"passed over")
    corpus = made(tmp_path, "tokens", folder, "none", vocab_size=END + 1, separator=str(END))
    assert streams(corpus, "train") == as_bytes(train)
    assert streams(corpus, "held_out") == as_bytes(held_out)
    assert corpus.info.held_out_bytes == 0  # nothing is known of bytes
    assert corpus.raw_bytes(corpus.streams("held_out")[0].shards[0]) == 0


def test_tokens_without_a_separator_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "PART_TOKENS", 10_000)
    rng = np.random.default_rng(0)
    train, held_out = rng.integers(0, 100_000, 50_001), rng.integers(0, 100_000, 9_000)
    write_llm_c(tmp_path / "evaluation_train.bin", train, 20240801, 7, "<u4")
    write_llm_c(tmp_path / "other.bin", held_out, 20240801, 7, "<u4")
    settings = DataSettings(
        "tokens",
        ((None, str(tmp_path / "evaluation_train.bin")),),
        held_out_paths=(str(tmp_path / "other.bin"),),
        tokenizer="none",
        vocab_size=100_000,
    )
    corpus = prepare(settings, out=tmp_path / "corpus", workers=1)
    for split, expected in (("train", train), ("held_out", held_out)):
        ((shard,),) = [stream.shards for stream in corpus.streams(split)]
        np.testing.assert_array_equal(shard, expected)
    assert shard.dtype == np.uint32


def test_bad_token_files_are_one_line(tmp_path):
    file = tmp_path / "train.bin"
    fields = {"vocab_size": END + 1, "separator": str(END)}
    file.write_bytes(b"\1\2\3\4\5")
    refused(tmp_path, "train.bin: 5 bytes are no whole number", "tokens", file, "none", **fields)
    file.write_bytes(b"\1\2\3\4\5\6")
    refused(tmp_path, "both splits need one", "tokens", file, "none", **fields)
    write_llm_c(file, np.arange(100), 20240520, 1, "<u2")
    file.write_bytes(file.read_bytes()[:-2])
    refused(
        tmp_path, "its header says 100 tokens, which needs 1,224 bytes; it has 1,222", "tokens", file, "none", **fields
    )
    write_llm_c(file, np.arange(100), 20240520, 9, "<u2")
    refused(tmp_path, "header of version 9; known is 1", "tokens", file, "none", **fields)
    write_llm_c(file, np.arange(100), 20240520, 1, "<u2")
    refused(tmp_path, "holds token 99; the vocabulary tokens-99 has 99 tokens", "tokens", file, "none", vocab_size=99)
    refused(tmp_path, "data.separator is '99'", "tokens", file, "none", vocab_size=99, separator="99")
    refused(tmp_path, "tokenised already", "tokens", file, "bpe", **fields)
    file.rename(tmp_path / "train.dat")
    refused(tmp_path, "no .bin file", "tokens", tmp_path, "none", **fields)


# Megatron


def write_megatron(prefix: Path, made_of: list[list[np.ndarray]], code: int, dtype: str) -> None:
    """As IndexedDatasetBuilder and _IndexWriter of Megatron-LM's megatron/core/datasets/indexed_dataset.py."""
    sequences = [sequence.astype(dtype) for document in made_of for sequence in document]
    prefix.with_suffix(".bin").write_bytes(b"".join(sequence.tobytes() for sequence in sequences))
    pointers = np.cumsum([0, *(sequence.nbytes for sequence in sequences)])[:-1]
    bounds = np.cumsum([0, *(len(document) for document in made_of)])
    prefix.with_suffix(".idx").write_bytes(
        b"MMIDIDX\x00\x00"
        + struct.pack("<QBQQ", 1, code, len(sequences), len(bounds))
        + np.asarray([len(sequence) for sequence in sequences], "<i4").tobytes()
        + pointers.astype("<i8").tobytes()
        + bounds.astype("<i8").tobytes()
    )


@pytest.fixture
def indexed(tmp_path):
    """A Megatron data set of documents of 1 to 4 sequences, and the documents."""
    (tmp_path / "set").mkdir()
    pieces = [np.split(tokens, [3, 9, 20][: i % 4]) for i, tokens in enumerate(token_documents(300, 2))]
    write_megatron(tmp_path / "set" / "web_document", [*pieces[:7], [], *pieces[7:], [np.asarray([END])]], 8, "<u2")
    return tmp_path / "set" / "web_document", [np.concatenate(document) for document in pieces]


@pytest.mark.parametrize("named", ["", "web_document.bin", "web_document.idx"])
@pytest.mark.parametrize(("code", "dtype"), [(8, "<u2"), (4, "<i4"), (5, "<i8")])
def test_megatron(tmp_path, monkeypatch, indexed, named, code, dtype):
    monkeypatch.setattr(megatron, "PART_BYTES", 1_000)
    prefix, expected = indexed
    ended = [[*np.split(tokens, [2, 7]), np.asarray([END])] for tokens in expected]  # --append-eod
    write_megatron(prefix, [*ended[:7], [], *ended[7:], [np.asarray([END])]], code, dtype)
    path, source = prefix.parent / named, "megatron" if named.endswith("bin") else "auto"
    corpus = made(tmp_path, source, path, "none", vocab_size=END + 1, separator=str(END))
    assert sorted(streams(corpus, "train") + streams(corpus, "held_out")) == as_bytes(expected)
    assert corpus.info.skipped == 2  # no sequence, and nothing but the end


def test_bad_megatron_files_are_one_line(tmp_path, indexed):
    prefix, _ = indexed
    index, binary = prefix.with_suffix(".idx"), prefix.with_suffix(".bin")
    known, tokens = index.read_bytes(), binary.read_bytes()

    def check(message: str, idx: bytes = known, bin: bytes = tokens) -> None:
        index.write_bytes(idx)
        binary.write_bytes(bin)
        refused(tmp_path, message, "megatron", prefix.parent, "none", vocab_size=END + 1)

    check("web_document.bin: its index needs .* it was cut short", bin=tokens[:-2])
    check("web_document.idx was cut short", known[:-1])
    check("no Megatron index", known[:20])
    check(r"no Megatron index \(its first bytes are b'MMIDIDY", b"MMIDIDY" + known[7:])
    check("version 2 and type 8", known[:9] + struct.pack("<Q", 2) + known[17:])
    check("version 1 and type 6", known[:17] + b"\6" + known[18:])  # float64
    check("damaged", known[:-8] + struct.pack("<q", 10**6))
    check("damaged", known[:34] + struct.pack("<i", -5) + known[38:])
    binary.unlink()
    refused(tmp_path, "web_document.bin' is not there", "megatron", index, "none")
    index.rename(prefix.with_suffix(".old"))
    refused(tmp_path, "no .idx file", "megatron", prefix.parent, "none")


# Synthetic


@pytest.mark.parametrize("vocab_size", [2, 5])
def test_synthetic_text_has_the_entropy_that_it_states(tmp_path, vocab_size):
    """Against linear algebra on the chain of pairs, and against the frequencies of the tokens themselves."""
    v, chains = vocab_size, 100
    corpus = made(
        tmp_path, "synthetic", None, "none", vocab_size=v, synthetic_tokens=chains * synthetic.CHAIN, synthetic_seed=3
    )
    cumulative = synthetic.process(v, 3).cumulative
    conditional = np.diff(cumulative, axis=1, prepend=0).reshape(v, v, v)  # p(c | a, b)
    steps = np.einsum("abc,bd->abdc", conditional, np.eye(v)).reshape(v * v, v * v)  # from (a, b) to (b, c)
    values, vectors = np.linalg.eig(steps.T)
    pairs = np.real(vectors[:, np.argmin(abs(values - 1))])
    pairs = (pairs / pairs.sum()).reshape(v, v)
    triples = pairs[..., None] * conditional
    first = -(pairs * np.log(pairs / pairs.sum(axis=1, keepdims=True))).sum()
    rest = -(triples * np.log(conditional)).sum()
    assert corpus.info.entropy == pytest.approx((first, rest), abs=1e-10)
    assert corpus.entropy(16) == pytest.approx((first + 15 * rest) / 16)
    found = np.concatenate([stream.shards[0] for split in ("train", "held_out") for stream in corpus.streams(split)])
    found = found.reshape(chains, synthetic.CHAIN).astype(int)
    assert len({chain.tobytes() for chain in found}) == chains
    for order, expected in ((2, pairs), (3, triples)):
        windows = np.lib.stride_tricks.sliding_window_view(found, order, axis=1).reshape(-1, order)
        counts = np.bincount(np.ravel_multi_index(tuple(windows.T), (v,) * order), minlength=v**order)
        counts = (counts / counts.sum()).reshape(expected.shape)
        np.testing.assert_allclose(counts, expected, atol=2e-3)
        empirical = -(counts * np.log(counts / counts.sum(axis=-1, keepdims=True))).sum()
        assert empirical == pytest.approx(first if order == 2 else rest, abs=3e-3)


def test_bad_synthetic_settings_are_one_line(tmp_path):
    refused(tmp_path, "allowed for synthetic data is 2 to 128", "synthetic", None, "none", vocab_size=129)
    refused(tmp_path, "tokenised already", "synthetic", None, "bpe")
    refused(tmp_path, "has no separator", "synthetic", None, "none", vocab_size=4, separator="0")


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
