"""Sources that are tokens already: files by their public layouts, a process by linear algebra; token for token."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from corpora import made, refused

from sweep.data.corpus import Corpus
from sweep.data.prepare import prepare
from sweep.data.settings import DataSettings
from sweep.data.sources import megatron, shards, synthetic

END = 50256  # GPT-2's end of text, as nanoGPT and llm.c write it

# Files


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
def test_token_files_of_nanogpt_and_llm_c(tmp_path, kind):
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
