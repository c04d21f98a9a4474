"""Corpora: deterministic, split by name, exact byte counts, batches as a pure function of (seed, step)."""

from __future__ import annotations

import numpy as np
import pytest

from fitting.errors import InputError
from sweep.data.documents import Document, python_source
from sweep.data.prepare import DataSettings, prepare
from sweep.data.tokenizer import train_bpe


@pytest.fixture(scope="module")
def corpus(text_folder):
    return prepare(DataSettings("text", str(text_folder), "bpe", 300))


def test_python_source_is_tens_of_megabytes_without_tests_or_tables():
    documents = python_source()
    assert 2e7 < sum(len(document.text) for document in documents) < 2e8
    names = [document.name for document in documents]
    assert names == [document.name for document in python_source()]
    assert len({document.text for document in documents}) == len(documents)
    assert not [name for name in names if "/tests/" in name or "/test_" in name]
    assert not {"rich/_emoji_codes.py", "python/encodings/cp437.py", "python/html/entities.py"} & set(names)  # tables
    held_out = sum(len(document.text) for document in documents if document.held_out)
    assert 0.02 < held_out / sum(len(document.text) for document in documents) < 0.1


def test_the_split_depends_on_the_name_alone():
    assert Document("a/b.py", b"x").held_out == Document("a/b.py", b"y").held_out
    share = np.mean([Document(f"file{i}.py", b"").held_out for i in range(20_000)])
    assert share == pytest.approx(0.05, abs=0.005)


def test_token_bytes_add_up_to_the_raw_text(corpus):
    assert corpus.token_bytes[corpus.train].sum() == corpus.info.train_bytes
    assert corpus.token_bytes[corpus.held_out].sum() == corpus.info.held_out_bytes


def test_tokens_decode_to_the_text():
    import tokenizers

    texts = ["def f(x):\n    return 'é€😀' # <|end|>\n".encode(), b"import os\n" * 50]
    tokenizer = train_bpe(texts, 280)
    stream = tokenizer.encode(texts)
    assert (stream == 0).sum() == 3  # before, between and after: text that spells the separator stays text
    library = tokenizers.Tokenizer.from_str(tokenizer.bpe)
    library.decoder = tokenizers.decoders.ByteLevel()
    first = stream[1 : np.flatnonzero(stream == 0)[1]]
    assert library.decode(first.tolist(), skip_special_tokens=False).encode() == texts[0]


def test_preparing_twice_gives_the_same_corpus(corpus, text_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path))
    again = prepare(DataSettings("text", str(text_folder), "bpe", 300))
    assert again.info == corpus.info
    np.testing.assert_array_equal(again.train, corpus.train)


def test_batches_are_a_pure_function_of_seed_and_step(corpus):
    whole = corpus.batches(seed=3, first_step=0, steps=6, batch=4, length=16)
    parts = [corpus.batches(seed=3, first_step=step, steps=1, batch=4, length=16) for step in range(6)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert not np.array_equal(whole, corpus.batches(seed=4, first_step=0, steps=6, batch=4, length=16))


def test_every_epoch_visits_each_window_once(corpus):
    length, batch = 16, 8
    windows = (len(corpus.train) - 1) // length
    steps = -(-2 * windows // batch)
    seen = corpus.batches(seed=0, first_step=0, steps=steps, batch=batch, length=length).reshape(-1, length + 1)
    cut = np.stack([corpus.train[i * length : (i + 1) * length + 1] for i in range(windows)])
    for epoch in range(2):
        visited = seen[epoch * windows : (epoch + 1) * windows]
        np.testing.assert_array_equal(np.sort(visited.view("V34").ravel()), np.sort(cut.view("V34").ravel()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (DataSettings("text", "/no/such/folder", "bpe", 300), "is not a folder"),
        (DataSettings("text", None, "bpe", 300), "data.path is not set"),
        (DataSettings("web", None, "bpe", 300), "allowed are python_source and text"),
        (DataSettings("python_source", None, "words", 300), "allowed are bpe and bytes"),
        (DataSettings("python_source", None, "bpe", 70_000), "allowed for bpe is 258 to 65536"),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(InputError, match=message) as caught:
        prepare(settings)
    assert "\n" not in str(caught.value)


def test_a_folder_without_text_is_refused(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no UTF-8 text"):
        prepare(DataSettings("text", str(tmp_path), "bytes", 300))
