"""What does a Python prompt answer to an expression about a word?"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from string import ascii_lowercase

from sweep.tasks.bundled.draw import asked, distinct, generator
from sweep.tasks.question import Question

LETTERS = (4, 6, 10)  # the grades: letters of the word
Drawn = tuple[str, object, Sequence[object]]  # expression, right value, wrong values


def make(texts: Sequence[str], count: int, seed: int) -> list[Question]:
    """Up to `count` questions for each operation and length; texts are not looked at.

    An expression at a prompt has one value, and code corpora hold many of them.
    """
    rng = generator("strings", seed)

    def draw(operation: str, letters: int) -> Question:
        expression, right, wrong = _OPERATIONS[operation](letters, rng)
        # The line break ends the value: 1 is not favoured for being how 10 begins.
        shown = [f"\n{value!r}\n" for value in (right, *wrong)]
        return asked(f"strings/{operation}-{letters}-letter", f">>> {expression}", shown[0], shown[1:], rng)

    return [
        question
        for operation in _OPERATIONS
        for letters in LETTERS
        for question in distinct(lambda o=operation, n=letters: draw(o, n), count)
    ]


def _reverse(letters: int, rng: random.Random) -> Drawn:
    word = _word(letters, rng)
    return f'"{word}"[::-1]', word[::-1], _misplaced(word[::-1], rng)


def _copy(letters: int, rng: random.Random) -> Drawn:
    word = _word(letters, rng)
    return f'"{word}"', word, _misplaced(word, rng)


def _last(letters: int, rng: random.Random) -> Drawn:
    word = _word(letters, rng)
    return f'"{word}"[-1]', word[-1], rng.sample(word[:-1], 3)


def _count(letters: int, rng: random.Random) -> Drawn:
    """The right number is any of four that were drawn before it: none is likelier."""
    right, *wrong = rng.sample(range(1, letters + 1), 4)
    letter, *others = _word(min(letters, 6), rng)
    word = [letter] * right + rng.choices(others, k=letters - right)
    rng.shuffle(word)
    return f'"{"".join(word)}".count("{letter}")', right, wrong


def _alphabetical(letters: int, rng: random.Random) -> Drawn:
    """Two wrong answers are in order too, of one other letter each: order alone does not give the answer away."""
    word = _word(letters, rng)
    right = "".join(sorted(word))
    strange = rng.sample(sorted(set(ascii_lowercase) - set(word)), 2)
    ordered = ["".join(sorted(right.replace(rng.choice(right), letter))) for letter in strange]
    return f'"".join(sorted("{word}"))', right, [*ordered, _misplaced(right, rng)[0]]


_OPERATIONS: dict[str, Callable[[int, random.Random], Drawn]] = {
    "reverse": _reverse,
    "copy": _copy,
    "last": _last,
    "count": _count,
    "alphabetical": _alphabetical,
}


def _word(letters: int, rng: random.Random) -> str:
    """Different letters."""
    return "".join(rng.sample(ascii_lowercase, letters))


def _misplaced(word: str, rng: random.Random) -> list[str]:
    """Three words of the same letters, two of them exchanged in each."""
    places = [(i, j) for j in range(len(word)) for i in range(j)]
    return [word[:i] + word[j] + word[i + 1 : j] + word[i] + word[j + 1 :] for i, j in rng.sample(places, 3)]
