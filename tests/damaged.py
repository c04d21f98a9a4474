"""Damaged point files: what editors, spreadsheets, cut downloads and other people's scripts make of a good one.

`damaged(seed)` is deterministic: the same seed, the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

HEADER = ["n_params", "d_tokens", "loss"]
ROWS = [
    [f"{n:.6g}", f"{d:.6g}", f"{2 + 40 * n**-0.3 + 90 * d**-0.3:.6g}"]
    for n in (1e6, 1e7, 1e8, 1e9)
    for d in (1e8, 1e9, 1e10)
]
CELLS = [
    *("nan", "NaN", "inf", "-inf", "1e30", "1e308", "1e999", "-1", "-0.0", "0", "1e-300", "5e-324", "1e-10", "1"),
    *("", " ", "NA", "null", "None", "#REF!", "-", "abc", "true", "False", "2024-01-01", "12:30:00"),
    *("1,5", '"1,5"', '"', '""', '"1e7"', "'3.0'", "1e7 ", "1_000", "0x10", "1e", "3,000,000", "10%", "1.2.3"),
    *(
        "2024-01-01 10:00:00",
        "9" * 25,
        "9" * 400,
        "3.0\n4.0",
        "\uff13.\uff10",
        "π",
        "🙂",
        "\u202e7",
        "\x00",
        "\x1b[31m",
    ),
    "\u2028",
]
NAMES = ["", " loss", "Loss", "loss", "n_params", "d_tokens", "flops", "status", "role", "seed", "a\nb", "x" * 5000]

Table = list[list[str]]  # the header first
Damage = Callable[[np.random.Generator, Table], None]


def damaged(seed: int) -> bytes:
    """A good file after up to three damages of its cells, rows and columns, of how it is written, and of its bytes."""
    rng = np.random.default_rng(seed)
    table = [list(HEADER), *(list(row) for row in ROWS)]
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        DAMAGES[rng.integers(len(DAMAGES))](rng, table)
    separator = _one(rng, [",", ";", "\t"], (0.94, 0.04, 0.02))
    ending = _one(rng, ["\n", "\r\n", "\r"], (0.7, 0.2, 0.1))
    encoding = _one(rng, ["utf-8", "utf-8-sig", "utf-16", "latin-1"], (0.8, 0.1, 0.05, 0.05))
    text = ending.join(separator.join(row) for row in table) + ending * int(rng.integers(3))
    data = bytearray(text.encode(encoding, "replace"))
    for _ in range(rng.choice([0, 1, 2], p=[0.6, 0.3, 0.1])):
        _damage_bytes(rng, data)
    return bytes(data)


def _one(rng: np.random.Generator, choices: list[str], shares: tuple[float, ...]) -> str:
    return str(rng.choice(choices, p=shares))


def _cell(rng: np.random.Generator, table: Table) -> None:
    row = table[_row(rng, table)]
    if row:
        row[rng.integers(len(row))] = str(rng.choice(CELLS))


def _column(rng: np.random.Generator, table: Table) -> None:
    """One value all the way down."""
    at, value = rng.integers(len(HEADER)), str(rng.choice(CELLS))
    for row in table[1:]:
        if at < len(row):
            row[at] = value


def _scale(rng: np.random.Generator, table: Table) -> None:
    """A column in another unit, or with another sign."""
    at, factor = rng.integers(len(HEADER)), float(rng.choice([1e-9, -1.0, 1e9, 1e18, 1e-200, 0.0]))
    for row in table[1:]:
        try:
            row[at] = f"{factor * float(row[at]):.6g}"
        except (ValueError, IndexError):
            continue


def _name(rng: np.random.Generator, table: Table) -> None:
    if table and table[0]:
        table[0][rng.integers(len(table[0]))] = str(rng.choice(NAMES))


def _drop_rows(rng: np.random.Generator, table: Table) -> None:
    at = _row(rng, table)
    del table[at : at + int(rng.integers(1, 12))]
    if not table:
        table.append([])


def _drop_cell(rng: np.random.Generator, table: Table) -> None:
    row = table[_row(rng, table)]
    if row:
        del row[rng.integers(len(row))]


def _double_rows(rng: np.random.Generator, table: Table) -> None:
    at = _row(rng, table)
    table[at:at] = [list(row) for row in table[at : at + int(rng.integers(1, 6))]] * int(rng.integers(1, 20))


def _double_column(rng: np.random.Generator, table: Table) -> None:
    at = rng.integers(len(HEADER))
    for row in table:
        row += row[at : at + 1]


def _more_columns(rng: np.random.Generator, table: Table) -> None:
    name, value = str(rng.choice(NAMES)), str(rng.choice(CELLS))
    for index, row in enumerate(table):
        row.append(name if index == 0 else value)


def _swap_columns(rng: np.random.Generator, table: Table) -> None:
    order = rng.permutation(len(HEADER))
    rows = table if rng.random() < 0.5 else table[1:]  # with or without their names
    for row in rows:
        if len(row) == len(HEADER):
            row[:] = [row[at] for at in order]


def _shuffle_rows(rng: np.random.Generator, table: Table) -> None:
    table[:] = [table[at] for at in rng.permutation(len(table))]  # the header too


def _shuffle_column(rng: np.random.Generator, table: Table) -> None:
    at, order = rng.integers(len(HEADER)), rng.permutation(len(table))
    if all(at < len(row) for row in table):
        values = [table[row][at] for row in order]
        for row, value in zip(table, values, strict=True):
            row[at] = value


def _huge_row(rng: np.random.Generator, table: Table) -> None:
    table.insert(_row(rng, table), ["7" * int(rng.integers(1, 3_000_000))] if rng.random() < 0.2 else ["1"] * 20_000)


def _empty(rng: np.random.Generator, table: Table) -> None:
    del table[int(rng.integers(0, 3)) :]
    if not table:
        table.append([])


def _repeat_header(rng: np.random.Generator, table: Table) -> None:
    table.insert(_row(rng, table), list(HEADER))


def _comment(rng: np.random.Generator, table: Table) -> None:
    table.insert(int(rng.integers(2)), ["# made by hand, do not edit"])


DAMAGES: tuple[Damage, ...] = (
    *(_cell, _cell, _cell, _cell, _column, _column, _scale, _scale, _name, _drop_rows, _drop_cell, _double_rows),
    *(_double_column, _more_columns, _more_columns, _swap_columns, _shuffle_rows, _shuffle_column, _huge_row),
    *(_empty, _repeat_header, _comment),
)


def _damage_bytes(rng: np.random.Generator, data: bytearray) -> None:
    """One flip, cut, insertion or copy."""
    if not data:
        return
    kind, at = rng.integers(5), int(rng.integers(len(data)))
    length = int(rng.integers(1, 60))
    if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del data[at : at + length]
    elif kind == 2:
        data[at:at] = rng.bytes(min(length, 8))
    elif kind == 3:
        data[at:at] = data[at : at + length]
    else:
        del data[at:]


def _row(rng: np.random.Generator, table: Table) -> int:
    return int(rng.integers(len(table)))
