"""Which brackets close what a line of held-out code has opened?"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence

from sweep.tasks.bundled.draw import LONGEST_CONTEXT_LINE, asked, context, documents, evenly, generator
from sweep.tasks.question import Question

DEPTHS = (1, 2, 3)  # the grades: brackets closed at once; 4 are too rare to count
CONTEXT_LINES = 2
PAIRS = {"(": ")", "[": "]", "{": "}"}
# Brackets in strings and comments need no partner, and telling those apart needs the language: strings without brackets
# are passed over, and a line counts only up to what may open another one.
PLAIN_STRING = re.compile(r"""(["'`])[^"'`\\()\[\]{}]*\1""")
QUOTED = re.compile(r"""["'`#\\]|//|/\*""")


def make(texts: Sequence[str], count: int, seed: int) -> list[Question]:
    """Up to `count` questions for each depth. Two wrong choices at depth 1, where there are no others; else three."""
    rng = generator("brackets", seed)
    by_depth: dict[int, dict[str, str]] = {depth: {} for depth in DEPTHS}  # question to what closes it
    for lines in documents(texts, rng):
        for i, line in enumerate(lines):
            runs = closings(line)
            before = context(lines, i, CONTEXT_LINES) if runs else None
            if before is None:
                continue
            start, run = max(runs, key=lambda found: len(found[1]))  # deep ones are rare
            if len(run) in by_depth:
                by_depth[len(run)].setdefault(f"{before}\n{line[:start]}", run)
    return [
        asked(f"brackets/{depth}-deep", question, run, _wrong(run, rng), rng)
        for depth, found in by_depth.items()
        for question, run in evenly(list(found.items()), lambda item: item[1], rng)[:count]
    ]


def closings(line: str) -> list[tuple[int, str]]:
    """(start, brackets) of every run of closing brackets whose partners all stand in this line."""
    if len(line) > LONGEST_CONTEXT_LINE:
        return []
    code = QUOTED.split(PLAIN_STRING.sub(lambda string: "_" * len(string.group()), line), maxsplit=1)[0]
    opened: list[str] = []
    runs = []
    for match in re.finditer(r"[(\[{]|[)\]}]+", code):
        text = match.group()
        if text in PAIRS:
            opened.append(text)
            continue
        partners = "".join(PAIRS[bracket] for bracket in reversed(opened[-len(text) :]))
        if partners != text:
            break  # what is open from here on is not known
        del opened[-len(text) :]
        runs.append((match.start(), text))
    return runs


def _wrong(run: str, rng: random.Random) -> list[str]:
    """Up to three other runs of the same length, orders of the same brackets first."""
    closing = "".join(PAIRS.values())
    orders = sorted({"".join(order) for order in itertools.permutations(run)} - {run})
    others = sorted({"".join(order) for order in itertools.product(closing, repeat=len(run))} - {run, *orders})
    rng.shuffle(orders)
    rng.shuffle(others)
    # At most two orders: else the right brackets would be told by how often each kind occurs among the choices.
    wrong = [*orders[:2], *others][:3]
    rng.shuffle(wrong)
    return wrong
