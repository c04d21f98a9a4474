"""Which line of four does a held-out document go on with?"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Sequence

from sweep.tasks.bundled.draw import LONGEST_CHOICE, asked, context, distinct, documents, generator
from sweep.tasks.question import Question

CONTEXT_LINES = (2, 8)  # the grades
SHORTEST_LINE = 12  # characters without indentation; shorter ones fit anywhere
FAR = 20  # lines: what "another place" of the same document is
SPREAD = 0.15  # of the length: what "similar" is
ATTEMPTS = 30  # draws for three wrong lines

Place = tuple[int, int]  # document, line


def make(texts: Sequence[str], count: int, seed: int) -> list[Question]:
    """Up to `count` questions for each length of context."""
    rng = generator("cloze", seed)
    docs = documents(texts, rng)
    places = [(d, i) for d, lines in enumerate(docs) for i, line in enumerate(lines) if _usable(line)]
    if not places:
        return []
    by_length: dict[int, list[Place]] = defaultdict(list)
    for d, i in places:
        by_length[len(docs[d][i])].append((d, i))

    # A line that follows the last one of the context anywhere would be right as well.
    follows = {pair for lines in docs for pair in itertools.pairwise(lines)}

    def draw(grade: int) -> Question | None:
        d, i = rng.choice(places)
        before = context(docs[d], i, grade)
        wrong = _elsewhere(docs, by_length, (d, i), rng) if before is not None else None
        if before is None or wrong is None or any((docs[d][i - 1], line) in follows for line in wrong):
            return None
        return asked(f"cloze/{grade}-line", before, "\n" + docs[d][i], ["\n" + line for line in wrong], rng)

    return [question for grade in CONTEXT_LINES for question in distinct(lambda g=grade: draw(g), count)]


def _usable(line: str) -> bool:
    words = line.strip()
    return len(words) >= SHORTEST_LINE and any(map(str.isalpha, words)) and len(line.encode()) < LONGEST_CHOICE


def _elsewhere(
    docs: Sequence[Sequence[str]], by_length: dict[int, list[Place]], right: Place, rng: random.Random
) -> list[str] | None:
    """Three lines of similar length that differ by more than their indentation; None where there are too few."""
    length = len(docs[right[0]][right[1]])
    slack = int(SPREAD * length)
    near = [places for size in range(length - slack, length + slack + 1) if (places := by_length.get(size))]
    weights = [len(places) for places in near]
    found = {docs[right[0]][right[1]].strip(): ""}
    for _ in range(ATTEMPTS):
        d, i = rng.choice(rng.choices(near, weights)[0])
        if d != right[0] or abs(i - right[1]) >= FAR:
            found.setdefault(docs[d][i].strip(), docs[d][i])
        if len(found) == 4:
            return list(found.values())[1:]
    return None
