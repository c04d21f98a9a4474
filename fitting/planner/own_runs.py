"""What do the user's own runs say beside their losses: speed, learning rate, bytes a token, vocabulary, context?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fitting.chips import chip_of
from fitting.planner.surface import training_flops
from fitting.read import runs_of_a_law

NEAR_LARGEST = 3.0  # runs within this factor of the largest N tell the speed; small ones cannot fill a chip


@dataclass(frozen=True)
class OwnRuns:
    """Facts of a store; None or empty where its columns are missing or empty."""

    bytes_per_token: float | None = None  # raw bytes of the held-out set over its tokens
    # By chip: low, median and high of the MFU by 6ND, and the N of the largest run, as the law counts it.
    mfu: Mapping[str, Sequence[float]] | None = None
    learning_rate: str | None = None  # a sentence
    vocab_size: int | None = None
    sequence: int | None = None  # tokens


def own_runs(
    table: Mapping[str, np.ndarray], n_column: str = "n_params", where: str | None = None, source: str = "the runs"
) -> OwnRuns:
    """From the columns of the record, by the runs that enter a law; any may be missing. n_column: the law's N."""
    table, _ = runs_of_a_law(dict(table), where, source)
    return OwnRuns(
        bytes_per_token=_bytes_per_token(table),
        mfu=_mfu(table, n_column),
        learning_rate=_learning_rate(table),
        vocab_size=_largest(table, "vocab_size"),
        sequence=_largest(table, "sequence"),
    )


def _bytes_per_token(table: Mapping[str, np.ndarray]) -> float | None:
    read, tokens = (_floats(table, name) for name in ("eval_bytes", "eval_tokens"))
    if read is None or tokens is None:
        return None
    known = (read > 0) & (tokens > 0)
    return float(np.median(read[known] / tokens[known])) if known.any() else None


def _mfu(table: Mapping[str, np.ndarray], n_column: str) -> dict[str, tuple[float, ...]] | None:
    """5%, 50% and 95% over the largest models on each chip. A record's MFU is by exact FLOPs; here it is by 6ND."""
    mfu, sizes, tokens, flops = (_floats(table, name) for name in ("mfu", n_column, "d_tokens", "flops"))
    if mfu is None or sizes is None or "device" not in table:
        return None
    if tokens is not None and flops is not None:
        mfu = mfu * training_flops(sizes, tokens) / flops
    found: dict[str, list[tuple[float, float]]] = {}
    for device, size, value in zip(table["device"], sizes, mfu, strict=True):
        chip = chip_of(str(device))
        if chip is not None and np.isfinite(value) and 0 < value <= 1:
            found.setdefault(chip.name, []).append((float(size), float(value)))
    shown = {}
    for name, rows in found.items():
        largest = max(size for size, _ in rows)
        near = [value for size, value in rows if size * NEAR_LARGEST >= largest]
        shown[name] = (*(float(value) for value in np.quantile(near, (0.05, 0.5, 0.95))), largest)
    return shown or None


def _learning_rate(table: Mapping[str, np.ndarray]) -> str | None:
    """The best rate of each (N, D) where several were tried, else the one that all runs had."""
    rates, losses = _floats(table, "learning_rate"), _floats(table, "loss")
    n, d = _floats(table, "n_params"), _floats(table, "d_tokens")
    if rates is None or losses is None or n is None or d is None or not len(rates):
        return None
    cells: dict[tuple[float, float], list[tuple[float, float]]] = {}
    for cell in zip(n, d, losses, rates, strict=True):
        if np.isfinite(cell[2]):
            cells.setdefault((cell[0], cell[1]), []).append((cell[2], cell[3]))
    tried = {cell: rows for cell, rows in cells.items() if len({rate for _, rate in rows}) > 1}
    if not tried:
        return f"{np.min(rates):.3g} in all {len(rates)} runs; no other was tried" if np.ptp(rates) == 0 else None
    best = [min(rows)[1] for rows in tried.values()]
    span = f"{min(best):.3g}" if min(best) == max(best) else f"{min(best):.3g} .. {max(best):.3g}"
    return f"{span} was best at the {len(tried)} (N, D) where several were tried"


def _largest(table: Mapping[str, np.ndarray], name: str) -> int | None:
    values = _floats(table, name)
    known = values[np.isfinite(values)] if values is not None else np.empty(0)
    return int(known.max()) if len(known) else None


def _floats(table: Mapping[str, np.ndarray], name: str) -> np.ndarray | None:
    if name not in table:
        return None
    try:
        return np.asarray(table[name], np.float64)
    except (TypeError, ValueError):
        return None
