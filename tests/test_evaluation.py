"""Evaluation: by domain, position and task, within its budget; compression of files by a run; an entropy reached."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fitting.errors import InputError
from models import Architecture
from results.export import write_export
from results.record import RunStatus
from results.store import Store
from sweep.data.corpus import Corpus
from sweep.data.order import chosen_windows
from sweep.data.prepare import prepare
from sweep.data.settings import DataSettings
from sweep.evaluation import At, affordable, check_tasks, of_text, questions_of, score_run
from sweep.execute import execute
from sweep.place import Place
from sweep.spec import DataSpec, OptimiserSpec, RunSpec, ScheduleSpec
from sweep.trained import keep_vocabulary, load_run

ADAMW = OptimiserSpec("adamw", 4e-3, 0.9, 0.95, 1e-10, 0.1, 1e4, 0.5, 1.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, text_folder) -> Corpus:
    """Real text in two domains, the second written backwards."""
    folder = tmp_path_factory.mktemp("domains")
    for name in ("code", "edoc"):
        (folder / name).mkdir()
    for file in text_folder.iterdir():
        text = file.read_text()
        for part in range(0, len(text), 4000):  # enough documents for a held-out one in both
            (folder / "code" / f"{part}-{file.name}").write_text(text[part : part + 4000])
            (folder / "edoc" / f"{part}-{file.name}").write_text(text[part : part + 4000][::-1])
    return prepare(DataSettings("text", ((None, str(folder)),), tokenizer="bytes"))


def make_spec(corpus: Corpus, steps: int, **data) -> RunSpec:
    return RunSpec(
        architecture=Architecture(width=16, depth=2, heads=1, mlp_width=32, vocab_size=corpus.info.vocab_size),
        data=dataclasses.replace(
            DataSpec(corpus.info.source, corpus.info.fingerprint, sequence=64, eval_tokens=32_768, seed=0), **data
        ),
        optimiser=ADAMW,
        schedule=ScheduleSpec("wsd", 15, 0.3),
        steps=steps,
        batch_sequences=4,
        seed=0,
    )


def trained(corpus: Corpus, folder: Path, spec: RunSpec, **place):
    store = Store(folder)
    keep_vocabulary(store, corpus)
    record = execute(spec, Place(str(folder), str(corpus.folder), "test", "fit", "test", 1e9, **place))
    assert record.status == RunStatus.DONE, record.sentence
    return store, record


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    """Evaluated three times, with all bundled tasks."""
    changes = {"evaluations": 3, "tasks": ("bundled",), "questions": 20, "evaluation_cost": 20.0}
    return trained(corpus, tmp_path_factory.mktemp("store"), make_spec(corpus, 400), **changes)


def test_losses_by_domain_and_position_add_up(corpus):
    held_out = corpus.held_out(32_768, 64)
    losses = np.random.default_rng(0).gamma(2.0, size=held_out.windows[:, 1:].shape)
    rows = list(of_text(losses, held_out, corpus, At(7, 1e4, 1)))
    by_name = {(row.kind, row.name, row.metric): row for row in rows}
    whole = by_name["all", "all", "loss"]
    assert whole.value == pytest.approx(losses.mean())
    assert whole.standard_error == pytest.approx(losses.mean(axis=1).std(ddof=1) / math.sqrt(len(losses)))
    for kind in ("domain", "position"):
        parts = [row for row in rows if row.kind == kind and row.metric == "loss"]
        assert sum(row.count for row in parts) == losses.size
        assert sum(row.value * row.count for row in parts) == pytest.approx(losses.sum())
    first = held_out.domain == held_out.domains.index("code")
    assert by_name["domain", "code", "loss"].value == pytest.approx(losses[first].mean())
    assert by_name["position", "4", "loss"].value == pytest.approx(losses[:, 3:7].mean())  # positions 4 to 7
    # A byte-level vocabulary: bits per byte is the loss over ln 2, but for separators, which stand for no byte.
    size = np.count_nonzero(held_out.windows[:, 1:])
    assert by_name["all", "all", "bpb"].value == pytest.approx(losses.sum() / math.log(2) / size)


def test_every_evaluation_is_in_the_store(run):
    store, record = run
    rows = store.measurements(record.run_id)
    assert sorted({row.step for row in rows}) == [100, 200, 400]
    last = {(row.kind, row.name, row.metric): row.value for row in rows if row.step == 400}
    assert last["all", "all", "loss"] == pytest.approx(record.loss, rel=1e-6)
    assert last["all", "all", "bpb"] == pytest.approx(record.bpb, rel=1e-6)
    assert last["domain", "code", "loss"] < last["domain", "edoc", "loss"] + 0.5
    assert last["position", "1", "loss"] > last["position", "32", "loss"]  # context helps
    tasks = {row.name.split("/")[0] for row in rows if row.kind == "task"}
    assert tasks == {"cloze", "brackets", "indentation", "arithmetic", "strings"}
    assert all(0 <= row.value <= 1 for row in rows if row.metric.startswith("accuracy"))
    halves = [row.value for row in rows if row.kind == "all" and row.metric == "loss"]
    assert halves == sorted(halves, reverse=True)
    assert record.eval_flops > record.flops  # this place allows 20 times the run


def test_evaluations_change_nothing_in_the_run(corpus, run, tmp_path):
    _, plain = trained(corpus, tmp_path, make_spec(corpus, 400))
    assert plain.loss == run[1].loss


def test_the_training_stream_is_a_code(corpus, run):
    """Prequential bits are the area under the loss curve; bytes are those of the tokens."""
    store, record = run
    curve = store.curve(record.run_id)
    steps = np.diff(curve["step"], prepend=0)
    assert record.prequential_bits == pytest.approx((curve["loss"] * steps).sum() * 256 / math.log(2), rel=1e-5)
    tokens = corpus.batches(make_spec(corpus, 400).data.order, 0, 400, 4)
    assert record.prequential_bytes == np.count_nonzero(tokens[:, :, 1:])
    assert record.prequential_bits / record.prequential_bytes > record.bpb  # it paid for learning


def test_repeated_text_is_no_new_code(corpus, tmp_path):
    """The second epoch is left out of the code length."""
    spec = make_spec(corpus, 100, unique_tokens=50 * 256)
    _, record = trained(corpus, tmp_path, spec)
    assert record.epochs == 2
    assert record.prequential_bytes == np.count_nonzero(corpus.batches(spec.data.order, 0, 50, 4)[:, :, 1:])


def test_a_domain_that_repeats_ends_the_new_code(corpus, tmp_path):
    """The first step that meets a window again, by remembering every one; the corpus as a whole would last longer."""
    counts = {stream.domain: stream.windows(64) for stream in corpus.streams("train")}
    cap = 120  # windows of both domains together
    spec = make_spec(corpus, 64, unique_tokens=cap * 64, curriculum=((0, (("code", 0.1), ("edoc", 0.9))),))
    order = spec.data.order
    seen = chosen_windows(order, list(counts.items()), np.arange(64 * 4), 4).reshape(64, 4)
    fresh = next(step for step in range(64) if len(set(seen[: step + 1].flat)) < 4 * (step + 1))
    assert 0 < fresh < cap // 4 - 5
    _, record = trained(corpus, tmp_path, spec)
    assert record.prequential_bytes == np.count_nonzero(corpus.batches(order, 0, fresh, 4)[:, :, 1:])


def test_tasks_are_thinned_to_what_a_run_can_afford(corpus):
    questions = questions_of(("arithmetic",), 100, corpus)
    tasks = len({question.task for question in questions})
    spec = make_spec(corpus, 10_000)
    kept = affordable(questions, spec, 0.015)
    # 8 windows of 64 tokens a question, a third of a training token's FLOPs each.
    assert len(kept) / tasks == int(0.015 * 3 * spec.d_tokens / (8 * 64 * tasks))
    assert affordable(questions, make_spec(corpus, 100), 0.03) == []
    assert affordable(questions, spec, 1.0) == questions


def test_a_choice_that_fits_no_window_is_refused_before_training(corpus, tmp_path):
    file = tmp_path / "long.jsonl"
    file.write_text(json.dumps({"question": "x", "choices": ["a" * 100, "b"], "answer": 1}) + "\n")
    with pytest.raises(InputError, match="long"):
        check_tasks((str(file),), 10, corpus, {64})
    check_tasks((str(file),), 10, corpus, {256})


def test_a_finished_run_can_be_asked_later(corpus, run, tmp_path):
    """The same scores as at its end, where the questions are the same; other measurements stay."""
    store, record = run
    model = load_run(store, record.run_id[:8])
    before = {(m.step, m.kind, m.name, m.metric): m.value for m in store.measurements(record.run_id)}
    made = score_run(store, model, ("arithmetic",), 20, corpus)
    for one in made:
        assert one.value == pytest.approx(before[400, "task", one.name, one.metric], rel=1e-5)
    after = {(m.step, m.kind, m.name, m.metric): m.value for m in store.measurements(record.run_id)}
    assert after.keys() == before.keys()
    with pytest.raises(InputError, match="they need held-out text"):
        score_run(store, model, ("cloze",), 20)
    with pytest.raises(InputError, match="holds 'riddles'"):
        score_run(store, model, ("riddles",), 20)


def test_the_wide_table_has_a_column_each(run, tmp_path):
    store, record = run
    assert write_export(store, tmp_path / "runs.csv") == 1
    with (tmp_path / "runs.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["loss:all"]) == pytest.approx(record.loss, rel=1e-6)
    assert {"loss:code", "bpb:edoc", "accuracy:arithmetic/1-digit", "gold_bpb:cloze/2-line"} <= set(row)
    with pytest.raises(InputError, match="allowed are names that end in"):
        write_export(store, tmp_path / "runs.txt")


def test_a_domain_of_its_own_can_be_fitted(run, tmp_path):
    """The wide table feeds the fitting module: here one run, which it refuses for being one."""
    write_export(run[0], tmp_path / "runs.csv")
    arguments = ["fit", "--points", str(tmp_path / "runs.csv"), "--loss-column", "loss:code"]
    done = subprocess.run([sys.executable, "-m", "fitting", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert "loss:code" not in done.stderr  # the column was found; what is wrong is the number of points


def data_cli(*arguments: str, expected: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", "sweep.data", *arguments], capture_output=True, text=True)
    assert done.returncode == expected, done.stderr
    return done.stdout if expected == 0 else done.stderr.strip().splitlines()[-1]


@pytest.mark.slow
def test_a_file_is_compressed_by_a_run_and_comes_back_exactly(run, tmp_path):
    store, record = run
    content = "".join(f"def f{i}(x):\n    return x + {i}\n\n" for i in range(400)).encode() + b"\xff\x00 no text"
    file = tmp_path / "some.py"
    file.write_bytes(content)
    made = json.loads(data_cli("compress", record.run_id[:6], str(file), "--store", str(store.path), "--json"))
    assert made["coded_bytes"] == pytest.approx(made["predicted_bytes"], rel=1e-3, abs=16)
    assert made["archive_bytes"] < len(content)
    back = tmp_path / "back.py"
    data_cli("decompress", made["archive"], "--store", str(store.path), "--out", str(back))
    assert back.read_bytes() == content
    assert "is there already" in data_cli("decompress", made["archive"], "--store", str(store.path), expected=2)
    archive = bytearray(Path(made["archive"]).read_bytes())
    archive[-3] ^= 1
    (tmp_path / "bad.isoflop").write_bytes(archive)
    assert data_cli("decompress", str(tmp_path / "bad.isoflop"), expected=2).startswith("error: ")
    refused = data_cli("compress", "ffff", str(file), "--store", str(store.path), expected=2)
    assert "no run whose name begins with 'ffff'" in refused


@pytest.mark.slow
def test_a_model_of_a_known_process_comes_close_to_its_entropy_and_never_below(tmp_path):
    """The rest of the distance falls with D; the entropy is that of windows, whose first target has less context."""
    settings = DataSettings("synthetic", tokenizer="none", vocab_size=8, synthetic_tokens=1_000_000)
    corpus = prepare(settings)
    entropy = corpus.entropy(64)
    assert entropy is not None
    excess = []
    for steps in (300, 3000):
        spec = make_spec(corpus, steps)
        _, record = trained(corpus, tmp_path / str(steps), spec)
        excess.append(record.loss - entropy)
        assert record.bpb is None
    assert -2 * record.loss_se < excess[1] < 0.02 * entropy
    assert excess[1] < excess[0] / 2


@pytest.mark.slow
def test_a_run_killed_in_mid_epoch_goes_on_with_the_same_batches(corpus, tmp_path):
    """Four epochs of a capped mixture within documents, stopped in mid-epoch twice: the bits of the undisturbed run."""
    order = {"unique_tokens": 100 * 256, "curriculum": ((0, (("code", 0.75), ("edoc", 0.25))),), "separator": 0}
    spec = make_spec(corpus, 400, **order)
    _, whole = trained(corpus, tmp_path / "whole", spec)
    place = Place(str(tmp_path / "cut"), str(corpus.folder), "test", "fit", "test", 1e9)
    for _ in range(2):
        polls = iter(range(100))
        stopped = execute(spec, place, stopped=lambda polls=polls: "stopped" if next(polls) else None)
        assert stopped.status == RunStatus.INTERRUPTED
        assert stopped.last_step % 100 != 0
    ended = execute(spec, place)
    assert ended.loss == whole.loss
    assert ended.prequential_bytes == whole.prequential_bytes
