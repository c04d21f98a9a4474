"""What is measured of a model on held-out text and tasks, when, and what does it cost?"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from fitting.errors import InputError
from results.measurement import Measurement
from results.store import Store
from sweep.data.corpus import Corpus, HeldOut
from sweep.data.order import evenly_spaced
from sweep.place import Place
from sweep.spec import RunSpec
from sweep.tasks import Sheet, bundled_questions, read_questions, score, sheet_of
from sweep.tasks.bundled.choose import NAMES
from sweep.tasks.question import Question
from sweep.train import program_for
from sweep.trained import Trained

FEWEST_WINDOWS = 8  # of an evaluation before the end
FEWEST_QUESTIONS = 10  # of a task; with fewer its standard error says nothing
FORWARD_SHARE = 1 / 3  # of a training token's FLOPs
TASK_TEXT = 4_000_000  # bytes of held-out documents that questions are made of


@dataclasses.dataclass(frozen=True)
class At:
    """Where a run stands when it is evaluated."""

    step: int
    d_tokens: float
    attempt: int


def steps_between(spec: RunSpec, place: Place, held_out: HeldOut) -> dict[int, int]:
    """{step: windows} of the evaluations before the end, at a half, a quarter, … of the run.

    A short run has few windows for them, or none. The end itself is always judged on the whole held-out set.
    """
    times = place.evaluations - 1
    if not times:
        return {}
    tokens = place.evaluation_cost / FORWARD_SHARE * spec.d_tokens / times
    windows = min(int(tokens / spec.data.sequence), len(held_out.windows))
    steps = {spec.steps >> halving for halving in range(1, times + 1)} - {0}
    return dict.fromkeys(sorted(steps), windows) if windows >= FEWEST_WINDOWS else {}


def thinned(held_out: HeldOut, windows: int) -> HeldOut:
    """Evenly spaced ones of it."""
    chosen = evenly_spaced(len(held_out.windows), windows)
    return HeldOut(held_out.windows[chosen], held_out.domain[chosen], held_out.domains)


def of_text(losses: np.ndarray, held_out: HeldOut, corpus: Corpus, at: At) -> Iterator[Measurement]:
    """From the losses of every target, (windows, T) nats: loss and bits per byte by domain, loss by position."""
    losses = losses.astype(np.float64)
    yield from _loss("all", "all", losses, held_out.windows[:, 1:], corpus, at)
    for number, name in enumerate(held_out.domains):
        here = held_out.domain == number
        if here.any():
            yield from _loss("domain", name, losses[here], held_out.windows[here, 1:], corpus, at)
    edges = [*(2**power for power in range(losses.shape[1].bit_length())), losses.shape[1] + 1]
    for first, last in itertools.pairwise(edges):  # positions counted from 1: 1, 2-3, 4-7, …
        if last > first:
            bucket = losses[:, first - 1 : last - 1]
            yield _measurement("position", str(first), "loss", bucket.mean(axis=1), bucket.size, at)


def of_tasks(sheet: Sheet, losses: np.ndarray, at: At) -> Iterator[Measurement]:
    """Every score of every task, from the losses of every target of the sheet's windows, (windows, T) nats.

    Raises FloatingPointError where one that counts is not finite.
    """
    for task in score(sheet.answers(losses)):
        fields = dataclasses.asdict(task)
        for metric, value in fields.items():
            if metric in ("task", "questions") or metric.endswith("_se"):
                continue
            error = fields.get(f"{metric}_se")
            yield Measurement(at.step, at.d_tokens, at.attempt, "task", task.task, metric, value, error, task.questions)


def questions_of(tasks: Sequence[str], count: int, corpus: Corpus) -> list[Question]:
    """Of the bundled tasks, `count` of each, and of JSONL files. Raises InputError."""
    bundled = [name for name in tasks if not name.endswith(".jsonl")]
    if "bundled" in bundled:
        bundled = list(NAMES)
    found: list[Question] = []
    if bundled:
        texts = [text.decode("utf-8", "replace") for text in corpus.held_out_text(TASK_TEXT)]
        found += bundled_questions(bundled, texts, count, 0)
    for name in tasks:
        if name.endswith(".jsonl"):
            found += read_questions(name)
    return found


def affordable(questions: Sequence[Question], spec: RunSpec, share: float) -> list[Question]:
    """As many of each task as `share` of the run's FLOPs pays for; none where they would be too few to tell."""
    if not questions:
        return []
    tasks = Counter(question.task for question in questions)
    # Each choice is read twice, behind its question and alone, in a window of its own.
    windows = 2 * sum(len(question.choices) for question in questions) / len(questions)
    budget = share / FORWARD_SHARE * spec.d_tokens
    each = int(budget / (windows * spec.data.sequence * len(tasks)))
    if each < FEWEST_QUESTIONS:
        return []
    taken: Counter[str] = Counter()
    kept = []
    for question in questions:
        taken[question.task] += 1
        if taken[question.task] <= each:
            kept.append(question)
    return kept


def check_tasks(tasks: Sequence[str], count: int, corpus: Corpus, lengths: set[int]) -> None:
    """Raises InputError, before anything is trained, where a question does not fit into a window."""
    questions = questions_of(tasks, count, corpus)
    for length in lengths if questions else ():
        sheet_of(questions, corpus.tokenizer, length)


def score_run(
    store: Store, model: Trained, tasks: Sequence[str], count: int, corpus: Corpus | None = None
) -> list[Measurement]:
    """Of a finished run, from its last checkpoint, into the store. `corpus`: whose held-out text makes questions.

    Raises InputError where a task needs text and there is none.
    """
    spec = model.spec
    for name in tasks:
        check_task_name("--tasks", name)
    found = questions_of(tasks, count, corpus or model.corpus)
    if not found:
        raise InputError(
            f"no question could be made for {', '.join(tasks)}: they need held-out text. Name its corpus with --corpus"
        )
    program = program_for(spec)
    at = At(spec.steps, float(spec.d_tokens), model.record.attempt)
    sheet = sheet_of(found, model.corpus.tokenizer, spec.data.sequence)
    made = list(of_tasks(sheet, program.token_losses(model.params, sheet.windows), at))
    names = {one.name for one in made}
    kept = [
        one
        for one in store.measurements(model.record.run_id)
        if one.step == at.step and not (one.kind == "task" and one.name in names)
    ]
    store.write_measurements(model.record.run_id, [*kept, *made])
    return made


def check_task_name(field: str, name: str) -> None:
    """Raises InputError, for a JSONL file that cannot be read too."""
    if name.endswith(".jsonl"):
        read_questions(name)
    elif name not in (*NAMES, "bundled"):
        raise InputError(
            f"{field} holds {name!r}; allowed are bundled (all of {', '.join(NAMES)}), one of these, and .jsonl files"
        )


def forward_flops(spec: RunSpec, tokens: int) -> float:
    """Exact, of one evaluation of so many tokens."""
    return spec.flops / spec.d_tokens * FORWARD_SHARE * tokens


def _loss(
    kind: str, name: str, losses: np.ndarray, targets: np.ndarray, corpus: Corpus, at: At
) -> Iterator[Measurement]:
    yield _measurement(kind, name, "loss", losses.mean(axis=1), losses.size, at)
    size = corpus.raw_bytes(targets)
    if size:
        bits = losses.sum() / math.log(2)
        yield Measurement(at.step, at.d_tokens, at.attempt, kind, name, "bpb", bits / size, None, size)


def _measurement(kind: str, name: str, metric: str, means: np.ndarray, count: int, at: At) -> Measurement:
    """The mean over windows, (windows,), and its standard error."""
    error = float(means.std(ddof=1) / math.sqrt(len(means))) if len(means) > 1 else None
    return Measurement(at.step, at.d_tokens, at.attempt, kind, name, metric, float(means.mean()), error, count)
