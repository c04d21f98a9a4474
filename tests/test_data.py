"""Corpora: resumed after any kill, batches as a pure function of (order, step), exact mixtures, epochs and caps."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from corpora import digit_domains
from hypothesis import given, settings
from hypothesis import strategies as st

from fitting.errors import InputError
from sweep.data.corpus import Corpus
from sweep.data.manifest import CorpusInfo
from sweep.data.order import Order, chosen_windows, permuted
from sweep.data.prepare import prepare
from sweep.data.settings import DataSettings
from sweep.data.sources import parts, read


def of_folder(folder: Path, **changes) -> DataSettings:
    return dataclasses.replace(DataSettings("text", ((None, str(folder)),), vocab_size=300), **changes)


@pytest.fixture(scope="module")
def corpus(text_folder) -> Corpus:
    return prepare(of_folder(text_folder))


@pytest.fixture(scope="module")
def domains(tmp_path_factory) -> Corpus:
    return digit_domains(tmp_path_factory.mktemp("domains"))


def windows(corpus: Corpus, order: Order, batch: int, steps: int, first: int = 0) -> np.ndarray:
    return corpus.batches(order, first, steps, batch).reshape(-1, order.length + 1)


def test_python_source_is_tens_of_megabytes_without_tests_or_tables():
    chosen = DataSettings("python_source")
    found = parts(chosen)
    assert found == parts(chosen)
    names = [file for part in found for file in part.files]
    assert not [name for name in names if "/tests/" in name or "/test_" in name]
    texts = {d.text for part in found for d in read(chosen, part) if d is not None}
    assert 2e7 < sum(len(text or b"") for text in texts) < 2e8
    import encodings.cp437
    import html.entities

    import rich._emoji_codes

    for table in (rich._emoji_codes, encodings.cp437, html.entities):
        assert Path(str(table.__file__)).read_bytes() not in texts


def test_token_bytes_add_up_to_the_raw_text(corpus):
    for split, expected in (("train", corpus.info.train_bytes), ("held_out", corpus.info.held_out_bytes)):
        assert sum(corpus.raw_bytes(s) for stream in corpus.streams(split) for s in stream.shards) == expected


def test_tokens_decode_to_the_documents(corpus, text_folder):
    texts = {file.read_bytes() for file in text_folder.iterdir()}
    (stream,) = corpus.streams("held_out")
    for document in stream.documents(0):
        assert corpus.tokenizer.text(document) in texts


def test_a_shards_index_says_where_documents_start(corpus):
    for shard in corpus.info.shards:
        starts = np.load(corpus.folder / shard.file.replace(".bin", ".documents.npy"))
        (stream,) = corpus.streams(shard.split)
        assert len(starts) == shard.documents
        np.testing.assert_array_equal(np.flatnonzero(stream.shards[0] == 0)[:-1], starts)


def test_preparing_twice_gives_the_same_corpus_whatever_the_workers(corpus, text_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("sweep.data.sources.text.PART_BYTES", 200_000)
    monkeypatch.setattr("sweep.data.pool.ALONE_BYTES", 0)
    for workers in (1, 2):
        again = prepare(of_folder(text_folder), out=tmp_path / str(workers), workers=workers)
        assert again.info.documents == corpus.info.documents
        assert again.info.train_bytes == corpus.info.train_bytes
    assert again.info.fingerprint == Corpus.open(tmp_path / "1").info.fingerprint


def test_a_kill_in_the_middle_loses_only_what_was_under_way(tmp_path):
    """kill -9 as soon as two parts are there: the same command goes on, and ends at the fingerprint of a whole run."""
    text = tmp_path / "text.jsonl"
    with text.open("w") as out:
        for number in range(300_000):
            out.write(f'{{"text": "document {number} {number * 7919 % 10007} says something of its own"}}\n')

    def command(out: Path) -> list[str]:
        chosen = ["--tokenizer", "bytes", "--workers", "1", "--out", str(out), "--json"]
        return [sys.executable, "-c", SLOW_PARTS, "prepare", str(text), *chosen]

    killed = subprocess.Popen(command(tmp_path / "killed"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(tmp_path.glob(".killed.work/*.npz"))) < 2:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "killed").exists()
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob(".killed.work/*.npz")}
    assert len(kept) >= 2
    whole = subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    resumed = subprocess.run(command(tmp_path / "killed"), check=True, capture_output=True)
    assert b"encoding" in resumed.stderr
    assert whole.returncode == resumed.returncode == 0
    assert Corpus.open(tmp_path / "killed").info.fingerprint == Corpus.open(tmp_path / "whole").info.fingerprint
    assert not list(tmp_path.glob(".killed.work"))
    Corpus.open(tmp_path / "killed").verify()


SLOW_PARTS = """
import sys, sweep.data.sources.jsonl as jsonl
jsonl.PART_BYTES = 2_000_000
from sweep.data.__main__ import main
main()
"""


def test_a_changed_shard_is_refused(text_folder, tmp_path):
    made = prepare(of_folder(text_folder, tokenizer="bytes"), out=tmp_path / "corpus")
    shard = tmp_path / "corpus" / made.info.shards[-1].file
    content = shard.read_bytes()
    shard.write_bytes(content[:-2])
    with pytest.raises(InputError, match="it changed since it was prepared"):
        Corpus.open(tmp_path / "corpus")
    shard.write_bytes(b"xy" + content[2:])
    with pytest.raises(InputError, match="SHA-256"):
        Corpus.open(tmp_path / "corpus").verify()
    with pytest.raises(InputError, match="prepared from other files or settings"):
        prepare(of_folder(text_folder), out=tmp_path / "corpus")


# -- order


@given(size=st.integers(1, 5000), key=st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_permuted_is_a_bijection(size, key):
    np.testing.assert_array_equal(np.sort(permuted(np.arange(size), size, key)), np.arange(size))


def test_permuted_scatters_neighbours():
    """Neighbours land as far apart as random pairs do: a third of the range on average."""
    size = 10**12
    images = permuted(np.arange(20_000) + 10**6, size, 3).astype(float)
    assert np.abs(np.diff(images)).mean() / size == pytest.approx(1 / 3, rel=0.03)
    counts = np.bincount((images / size * 50).astype(int), minlength=50)
    assert ((counts - 400) ** 2 / 400).sum() < 90  # chi squared, 49 degrees of freedom: p = 3e-4


def test_batches_are_a_pure_function_of_order_and_step(corpus):
    order = Order(3, 16)
    whole = corpus.batches(order, 0, 6, 4)
    parts = [corpus.batches(order, step, 1, 4) for step in (5, 1, 0, 3, 2, 4)]
    np.testing.assert_array_equal(whole, np.concatenate([parts[i] for i in (2, 1, 4, 3, 5, 0)]))
    assert not np.array_equal(whole, corpus.batches(Order(4, 16), 0, 6, 4))


@pytest.mark.parametrize("cap", [None, 1600])
def test_every_epoch_visits_each_window_once_in_an_order_of_its_own(domains, cap):
    order = Order(0, 16, cap)
    total = sum(stream.windows(16) for stream in domains.streams("train"))
    count = total if cap is None else cap // 16
    seen = chosen(domains, order, np.arange(2 * count))
    first, second = seen[:count], seen[count:]
    assert len(set(first.tolist())) == count
    assert sorted(first) == sorted(second)
    assert not np.array_equal(first, second)


def test_a_larger_cap_holds_the_smaller_one_and_every_seed_has_the_same_text(domains):
    small = set(chosen(domains, Order(0, 16, 1600), np.arange(100)).tolist())
    large = set(chosen(domains, Order(0, 16, 3200), np.arange(200)).tolist())
    assert len(small) == 100
    assert small < large
    assert small == set(chosen(domains, Order(5, 16, 1600), np.arange(100)).tolist())


def chosen(corpus: Corpus, order: Order, positions: np.ndarray, batch: int = 4) -> np.ndarray:
    counts = [(stream.domain, stream.windows(order.length)) for stream in corpus.streams("train")]
    return chosen_windows(order, counts, positions, batch)


def domain_of(corpus: Corpus, seen: np.ndarray) -> np.ndarray:
    counts = np.cumsum([stream.windows(16) for stream in corpus.streams("train")])
    return np.searchsorted(counts, seen, side="right")


def test_a_mixture_is_exact_after_every_period_and_never_far_off(domains):
    order = Order(0, 16, curriculum=((0, (("a", 0.2), ("b", 0.5), ("c", 0.3))),))
    domain = domain_of(domains, chosen(domains, order, np.arange(1000)))
    for number, share in enumerate((0.2, 0.5, 0.3)):
        counted = np.cumsum(domain == number)
        assert np.abs(counted - share * np.arange(1, 1001)).max() <= 1
        assert (counted[9::10] == share * np.arange(10, 1001, 10)).all()


@given(st.lists(st.integers(1, 50), min_size=2, max_size=6))
@settings(max_examples=30, deadline=None)
def test_mixtures_of_any_shares_stay_close(weights):
    names = [f"d{i}" for i in range(len(weights))]
    shares = np.asarray(weights) / sum(weights)
    order = Order(0, 8, curriculum=((0, tuple(zip(names, shares.tolist(), strict=True))),))
    seen = chosen_windows(order, [(name, 10**6) for name in names], np.arange(500), 1)
    for number, share in enumerate(shares):
        assert np.abs(np.cumsum(seen // 10**6 == number) - share * np.arange(1, 501)).max() < 2


def test_within_a_mixture_each_domain_has_epochs_of_its_own(domains):
    order = Order(0, 16, curriculum=((0, (("a", 0.1), ("c", 0.9))),))
    seen = chosen(domains, order, np.arange(1000))
    counts = [stream.windows(16) for stream in domains.streams("train")]
    small = seen[domain_of(domains, seen) == 2]
    assert sorted(small[: counts[2]]) == list(range(sum(counts) - counts[2], sum(counts)))
    assert not (domain_of(domains, seen) == 1).any()


def test_a_curriculum_changes_at_its_step_and_carries_on_where_a_domain_was(domains):
    stages = ((0, (("a", 1.0),)), (10, (("a", 0.5), ("b", 0.5))))
    seen = chosen(domains, Order(0, 16, curriculum=stages), np.arange(200), batch=4)
    domain = domain_of(domains, seen)
    assert (domain[:40] == 0).all()
    assert (domain[40:] == 0).sum() == 80
    of_a = seen[domain == 0]
    alone = chosen(domains, Order(0, 16, curriculum=((0, (("a", 1.0),)),)), np.arange(len(of_a)), batch=4)
    np.testing.assert_array_equal(of_a, alone)


def test_windows_hold_the_text_of_their_domain(domains):
    order = Order(0, 16, curriculum=((0, (("b", 1.0),)),))
    tokens = windows(domains, order, 4, 10)
    assert set(np.unique(tokens)) == {0, ord("1") + 1}


def test_the_held_out_set_is_fixed_and_spread_over_domains(domains):
    first = domains.held_out(10**6, 16)
    counts = [stream.windows(16) for stream in domains.streams("held_out")]
    assert len(first.windows) == sum(counts)
    assert np.bincount(first.domain).tolist() == counts
    for number, digit in enumerate("012"[: len(counts)]):
        here = first.windows[first.domain == number]
        names = dict(zip("abc", "012", strict=True))
        assert set(np.unique(here)) <= {0, ord(names[first.domains[number]]) + 1}, digit


def test_a_stand_in_is_as_large_as_any():
    info = CorpusInfo.stand_in("text", 300)
    assert info.is_stand_in
    assert info.held_out_windows(2**20) > 2**40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paths": ((None, "/no/such/folder"),)}, "is not there"),
        ({"paths": ()}, "data.path is not set"),
        ({"source": "web"}, "data.source is 'web'; allowed are text, jsonl"),
        ({"tokenizer": "words"}, "allowed are bytes, bpe, none"),
        ({"vocab_size": 70}, "allowed for bpe is 258 to"),
    ],
)
def test_bad_settings_are_one_line(text_folder, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        prepare(of_folder(text_folder, **changes))
    assert "\n" not in str(caught.value)


def test_a_folder_without_text_is_refused(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="different documents") as caught:
        prepare(of_folder(tmp_path, tokenizer="bytes"))
    assert "\n" not in str(caught.value)
