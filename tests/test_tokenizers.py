"""Every vocabulary from its own real library, token for token; and bytes that add up to those of the text."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from corpora import TEXTS, documents, made, refused, write_texts
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from sweep.data.corpus import Corpus
from sweep.data.prepare import prepare
from sweep.data.settings import DataSettings
from sweep.data.tokenizers import library, named, ranks

END = "<|endoftext|>"
# Words, case, digits, apostrophes, spaces and line ends in every mixture that a pattern tells apart.
HARD = [
    f"I'LL say: don't STOP x{i}y 12345678 é中文 {END}</s>[SEP]  \n\n  def f(a, b=3):\r\n\treturn a//b -- … ﬁ ½\n"
    for i in range(60)
]


@pytest.fixture(scope="module")
def texts(text_folder) -> list[str]:
    """300 documents, of code and of everything that is hard."""
    lines = "".join(file.read_text() for file in sorted(text_folder.iterdir())).splitlines(keepends=True)
    code = ["".join(lines[start : start + 20]) for start in range(0, 4000, 20)]
    return [text for text in dict.fromkeys(code + TEXTS[:40] + HARD) if text.strip()]


@pytest.fixture(scope="module")
def rows(texts, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return file


def byte_level(texts: list[str]) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<pad>", END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(["    ", "é中"])  # not special: text like any other
    return tokenizer


def word_piece(texts: list[str]) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    specials = ["[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(texts[:200], trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


def unigram(texts: list[str]) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=500, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def llama(texts: list[str]) -> tokenizers.Tokenizer:
    """A BPE with byte fallback on text whose spaces are ▁."""
    alphabet = sorted({character for text in texts[:100] for character in text if character.isascii()})
    trained = tokenizers.Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator(texts[:100], trainer)
    model = json.loads(trained.to_str())["model"]
    tokens = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *model["vocab"]]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<unk>", "</s>"])
    return tokenizer


def tokens(corpus: Corpus) -> list[tuple[int, ...]]:
    """Of all documents, sorted."""
    return sorted(
        tuple(document.tolist())
        for split in ("train", "held_out")
        for stream in corpus.streams(split)
        for document in stream.documents(corpus.info.separator)
    )


def check_bytes(corpus: Corpus, exact: bool) -> None:
    """Tokens of the held-out text stand for its raw bytes, whatever a normaliser made of them."""
    info = corpus.info
    held_out = np.concatenate([shard for stream in corpus.streams("held_out") for shard in stream.shards])
    assert corpus.raw_bytes(held_out) == info.held_out_bytes > 1000
    assert corpus.token_bytes[info.separator] == 0
    assert (info.byte_ratio == 1) == exact


# tokenizer.json


@pytest.mark.parametrize(
    ("train", "end", "spelled"),
    [
        (byte_level, END, lambda real, text: text),
        (word_piece, "[SEP]", lambda real, text: "".join(real.normalizer.normalize_str(text).split())),
        (unigram, "</s>", lambda real, text: " " + real.normalizer.normalize_str(text).removeprefix(" ")),
        (llama, "</s>", lambda real, text: " " + text),
    ],
    ids=["byte_level", "word_piece", "unigram", "llama"],
)
def test_a_tokenizer_json_gives_the_tokens_of_its_library(tmp_path, texts, rows, train, end, spelled):
    """Without what a file says of truncation, padding and tokens put around a text.

    A Unigram finds a separator that a text spells out in its vocabulary; it is left out, or it would end the document.
    """
    # Read back from its JSON: training keeps more digits of a Unigram's scores than the file does.
    real = tokenizers.Tokenizer.from_str(train(texts).to_str())
    real.encode_special_tokens = True
    separator, unknown = real.token_to_id(end), real.token_to_id("[UNK]" if train is word_piece else "<unk>")
    encoded = [[i for i in real.encode(text, add_special_tokens=False).ids if i != separator] for text in texts]
    assert sum(separator in real.encode(text, add_special_tokens=False).ids for text in texts) in (0, len(HARD))
    real.enable_truncation(16)
    real.enable_padding(length=32)
    (tmp_path / "mine").mkdir()
    real.save(str(tmp_path / "mine" / "tokenizer.json"))
    corpus = made(tmp_path, "jsonl", rows, str(tmp_path / "mine"))
    assert tokens(corpus) == sorted(map(tuple, encoded))
    assert (corpus.info.tokenizer, corpus.info.separator) == ("mine", separator)
    whole = [(text, ids) for text, ids in zip(texts, encoded, strict=True) if unknown not in ids and text not in HARD]
    assert len(whole) > 100
    for text, ids in whole:
        assert corpus.token_bytes[ids].sum() == len(spelled(real, text).encode())
    check_bytes(corpus, train is byte_level)
    if train in (byte_level, llama):  # these two lose nothing
        assert sorted(content.decode() for _, content in documents(corpus)) == sorted(
            spelled(real, text) for text in texts
        )


def test_a_separator_is_a_token_or_its_number(tmp_path, texts, rows):
    real = byte_level(texts)
    file = tmp_path / "tokenizer.json"
    real.save(str(file))
    for separator, number in {None: 1, "<pad>": 0, "0": 0, "599": 599}.items():
        assert named(str(file), 0, separator, list).separator == number
    for separator in ("<none>", "602"):
        refused(
            tmp_path, f"has no token {separator}; .*number below 602", "jsonl", rows, str(file), separator=separator
        )
    real = tokenizers.Tokenizer(models.BPE({"a": 0}, []))
    real.save(str(file))
    refused(tmp_path, r"has no token <\|end\|> or .*data.separator", "jsonl", rows, str(file))


def test_a_vocabulary_that_cannot_spell_the_text_is_one_line(tmp_path, rows):
    real = tokenizers.Tokenizer(models.WordPiece({"a": 0, "</s>": 1}, unk_token="[UNK]"))
    real.save(str(tmp_path / "tokenizer.json"))
    refused(tmp_path, "cannot encode this text: .*UNK", "jsonl", rows, str(tmp_path / "tokenizer.json"))


# tiktoken


def ranks_of(texts: list[str]) -> dict[bytes, int]:
    """A trained byte-level BPE as tiktoken has it."""
    table = {character: byte for byte, character in library._byte_characters().items()}
    vocabulary = json.loads(byte_level(texts).to_str())["model"]["vocab"]
    words = sorted((token for token in vocabulary if token not in ("<pad>", END)), key=vocabulary.__getitem__)
    return {bytes(table[character] for character in token): rank for rank, token in enumerate(words)}


def write_ranks(path: Path, made_of: dict[bytes, int]) -> str:
    path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in made_of.items()))
    return str(path)


@pytest.mark.parametrize("name", ["gpt2", "r50k_base", "p50k_base", "cl100k_base", "o200k_base"])
def test_a_tiktoken_file_gives_the_tokens_of_its_library(tmp_path, monkeypatch, texts, rows, name):
    """The library's own definition of each encoding, around ranks made here: nothing is fetched."""
    tiktoken = pytest.importorskip("tiktoken")
    public = pytest.importorskip("tiktoken_ext.openai_public")
    own = ranks_of(texts)
    monkeypatch.setattr(public, "load_tiktoken_bpe", lambda *_, **__: own)
    monkeypatch.setattr(public, "data_gym_to_mergeable_bpe_ranks", lambda *_, **__: own)
    pattern = getattr(public, name)()["pat_str"]
    real = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=own, special_tokens={END: len(own)})
    corpus = made(tmp_path, "jsonl", rows, write_ranks(tmp_path / f"{name}.tiktoken", own))
    assert tokens(corpus) == sorted(tuple(real.encode_ordinary(text)) for text in texts)
    assert corpus.info.separator == len(own) == corpus.info.vocab_size - 1
    assert sorted(content.decode() for _, content in documents(corpus)) == sorted(texts)
    check_bytes(corpus, True)
    by_hand = write_ranks(tmp_path / "mine.tiktoken", own) + f"#{name.split('_')[0]}"
    other = named(by_hand, 0, "7", list)
    assert (other.separator, other.vocab_size) == (7, len(own))
    np.testing.assert_array_equal(other.ids([HARD[0].encode()])[0], real.encode_ordinary(HARD[0]))


@pytest.mark.parametrize("name", ["gpt2", "r50k_base", "p50k_base", "cl100k_base", "o200k_base"])
def test_published_vocabularies_have_their_end_of_text(monkeypatch, name):
    """Tokens of .bin files made with them are cut there. The count of ranks is that of the published files."""
    public = pytest.importorskip("tiktoken_ext.openai_public")
    end = {"gpt2": 50256, "r50k_base": 50256, "p50k_base": 50256, "cl100k_base": 100257, "o200k_base": 199999}[name]
    count = {"p50k_base": 50280, "cl100k_base": 100256, "o200k_base": 199998}.get(name, 50256)
    monkeypatch.setattr(public, "load_tiktoken_bpe", lambda *_, **__: {})
    monkeypatch.setattr(public, "data_gym_to_mergeable_bpe_ranks", lambda *_, **__: {})
    assert getattr(public, name)()["special_tokens"][END] == end
    words = [bytes([byte]) for byte in range(256)] + [b"%06d" % number for number in range(count - 256)]
    free = [rank for rank in range(count + 1) if rank != end]
    content = b"".join(base64.b64encode(word) + b" %d\n" % rank for word, rank in zip(words, free, strict=False))
    found = ranks.from_file(content, f"{name}.tiktoken", None, None)
    assert (found.separator, found.vocab_size) == (end, max(end, free[count - 1]) + 1)


def test_bad_tiktoken_files_are_one_line(tmp_path, rows):
    pytest.importorskip("tiktoken")
    good = {bytes([byte]): byte for byte in range(256)}
    path = write_ranks(tmp_path / "mine.tiktoken", good)
    refused(tmp_path, "its pattern is not told by its name; allowed are gpt2, .*#cl100k", "jsonl", rows, path)
    refused(tmp_path, "its pattern is words", "jsonl", rows, path + "#words")
    refused(
        tmp_path, r"data.separator is '</s>'; allowed .* <\|endoft", "jsonl", rows, path + "#gpt2", separator="</s>"
    )
    for content, message in {
        b"what is this\n": "too many values",
        b"!!!! 3\n": "is no tiktoken file",
        b"YQ== one\n": "invalid literal",
        b"YQ== 0\n": "255 of the 256 bytes have no token",
        b"": "256 of the 256 bytes",
        Path(path).read_bytes() + b"YWI= 7\n": "not different whole numbers",
    }.items():
        Path(path).write_bytes(content)
        refused(tmp_path, f"mine.tiktoken is no tiktoken file: .*{message}|{message}", "jsonl", rows, path + "#gpt2")


# SentencePiece


def sentence_piece(path: Path, texts: list[str], **options) -> tuple[str, object]:
    """(path, processor) of a model trained by the library itself."""
    spm = pytest.importorskip("sentencepiece")
    written = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=written, minloglevel=2, num_threads=1, **options
    )
    path.write_bytes(written.getvalue())
    return str(path), spm.SentencePieceProcessor(model_proto=written.getvalue())


@pytest.mark.parametrize(
    "options",
    [
        {"model_type": "unigram", "byte_fallback": True},
        {"model_type": "bpe", "character_coverage": 0.999},
        {
            "model_type": "bpe",
            "byte_fallback": True,
            "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False,
            "add_dummy_prefix": False,
            "user_defined_symbols": ["\n", "é中"],
        },
    ],
    ids=["unigram", "bpe", "lossless"],
)
def test_a_sentence_piece_model_gives_the_tokens_of_its_library(tmp_path, texts, rows, options):
    path, real = sentence_piece(tmp_path / "mine.model", texts, vocab_size=600, hard_vocab_limit=False, **options)
    corpus = made(tmp_path, "jsonl", rows, path)
    assert tokens(corpus) == sorted(tuple(ids) for ids in real.encode(texts))
    assert corpus.info.separator == real.eos_id()
    check_bytes(corpus, "user_defined_symbols" in options)
    whole = [(text, ids) for text, ids in zip(texts, real.encode(texts), strict=True) if real.unk_id() not in ids]
    assert len(whole) > 100
    for text, ids in whole:
        assert corpus.token_bytes[ids].sum() == len(real.normalize(text).replace("▁", " ").encode())
    if "user_defined_symbols" in options:
        assert sorted(content.decode() for _, content in documents(corpus)) == sorted(texts)


def test_the_separator_of_a_sentence_piece_model_is_eos_or_bos_or_named(tmp_path, texts, rows):
    for options, separator, expected in (
        ({}, None, 2),
        ({"eos_id": -1}, None, 1),
        ({"eos_id": -1, "bos_id": -1, "control_symbols": ["<end>"]}, "<end>", 1),
        ({}, "5", 5),
    ):
        path, real = sentence_piece(
            tmp_path / "mine.model", texts[:50], vocab_size=200, hard_vocab_limit=False, **options
        )
        assert named(path, 0, separator, list).separator == expected
    size = real.vocab_size()
    for separator in ("<none>", str(size)):
        refused(tmp_path, f"no token {separator}; .*number below {size}", "jsonl", rows, path, separator=separator)
    path, _ = sentence_piece(
        tmp_path / "mine.model", texts[:50], vocab_size=200, hard_vocab_limit=False, eos_id=-1, bos_id=-1
    )
    refused(tmp_path, "no token eos or bos; .*data.separator", "jsonl", rows, path)


# All of them


def test_token_files_with_a_vocabulary_have_bytes(tmp_path, texts):
    """nanoGPT's layout, tokenised with a tiktoken vocabulary and with a tokenizer.json."""
    pytest.importorskip("tiktoken")
    own, real = ranks_of(texts), byte_level(texts)
    real.save(str(tmp_path / "tokenizer.json"))
    vocabularies = {
        write_ranks(tmp_path / "gpt2.tiktoken", own): None,
        str(tmp_path / "tokenizer.json"): "1",
    }
    for number, (path, separator) in enumerate(vocabularies.items()):
        known = named(path, 0, separator, list)
        folder = tmp_path / f"shards{number}"
        folder.mkdir()
        for name, chosen in (("train", texts[30:]), ("val", texts[:30])):
            ids = known.ids([text.encode() for text in chosen])
            joined = np.concatenate([[*document, known.separator] for document in ids])
            joined.astype(np.uint16).tofile(folder / f"{name}.bin")
        corpus = made(tmp_path / str(number), "tokens", folder, path, separator=separator)
        assert corpus.info.held_out_bytes == sum(len(text.encode()) for text in texts[:30])
        assert corpus.info.train_bytes == sum(len(text.encode()) for text in texts[30:])
        assert [content.decode() for _, content in documents(corpus, "held_out")] == sorted(texts[:30])
        check_bytes(corpus, True)
        np.asarray([3, 4, known.vocab_size], np.uint16).tofile(folder / "train.bin")
        refused(tmp_path / f"bad{number}", f"holds token {known.vocab_size}; the voc", "tokens", folder, path)


@pytest.mark.parametrize("kind", ["bytes", "bpe", "json", "tiktoken", "sentencepiece"])
def test_a_corpus_opens_again_with_its_vocabulary(tmp_path, texts, kind):
    """And is the same corpus when it is made again elsewhere."""
    write_texts(tmp_path / "texts")
    vocabulary = kind
    if kind == "json":
        vocabulary = str(tmp_path / "mine.json")
        byte_level(texts).save(vocabulary)
    elif kind == "tiktoken":
        pytest.importorskip("tiktoken")
        vocabulary = write_ranks(tmp_path / "mine.tiktoken", ranks_of(texts)) + "#cl100k"
    elif kind == "sentencepiece":
        vocabulary, _ = sentence_piece(tmp_path / "mine.model", texts, vocab_size=300, hard_vocab_limit=False)
    settings = DataSettings("text", ((None, str(tmp_path / "texts")),), tokenizer=vocabulary, vocab_size=300)
    first, second = (prepare(settings, out=tmp_path / name) for name in ("a", "b"))
    assert first.info == second.info
    opened = Corpus.open(first.folder).tokenizer
    known = named(vocabulary, 300, None, lambda: [row.encode() for row in TEXTS])
    if kind != "bpe":  # trained on what is not held out
        assert opened == known
        np.testing.assert_array_equal(opened.ids([HARD[0].encode()])[0], known.ids([HARD[0].encode()])[0])
    assert opened.token_bytes().sum() == first.token_bytes.sum()


def test_bad_vocabularies_are_one_line(tmp_path, rows):
    for name, content, message in (
        ("none.json", None, "none.json' cannot be read: No such file"),
        ("words", None, "data.tokenizer is .*words'; allowed are bytes, bpe, none"),
        ("bad.json", b'{"a":\n 1}', "tokenizer bad is no tokenizer.json"),
        ("bad.json", b"\xff", "no tokenizer.json: it is not UTF-8"),
        ("bad.json", b"", "tokenizer bad is no tokenizer.json"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        refused(tmp_path, message, "jsonl", rows, str(tmp_path / name))
    refused(tmp_path, "data.vocab_size is 100; allowed for bpe is 258", "jsonl", rows, "bpe", vocab_size=100)
    refused(tmp_path, "data.tokenizer is none; text needs one", "jsonl", rows, "none")
    pytest.importorskip("sentencepiece")
    for content in (b"", b"garbage"):
        (tmp_path / "bad.model").write_bytes(content)
        refused(tmp_path, "tokenizer bad.model is no SentencePiece model", "jsonl", rows, str(tmp_path / "bad.model"))
