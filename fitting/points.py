"""What is fitted? Measured (N, D, loss) points, validated once, with a hash that names them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fitting.errors import InputError

# Above 1e25 a column is surely not parameters or tokens but FLOPs or an accident (largest public run: D = 4e13).
LARGEST_COUNT = 1e25
LARGEST_LOSS = 1e3  # nats per token; ln(vocabulary) is below 13 for any real one
LARGEST_FLOPS = 1e35
SMALLEST = 1e-12  # of any column, whatever its unit; below, products such as 6ND lose their digits


@dataclass(frozen=True)
class Points:
    """Rows of finished runs. Arrays of shape (points,), float64 on purpose: 6ND overflows int64."""

    n_params: np.ndarray
    d_tokens: np.ndarray
    loss: np.ndarray  # nats per token
    flops: np.ndarray  # measured, or 6ND where the source has no such column
    cluster: tuple[str, ...]  # rows with one label are not independent (one run, one shape)
    source: str
    n_definition: str  # which count of parameters the column holds
    flops_definition: str
    excluded: tuple[str, ...] = ()  # one sentence for each group of rows left out
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)  # further inputs that a law asked for, by column
    replicate: np.ndarray | None = None  # integers; rows with one number differ in their seed alone. None: not known

    def __post_init__(self) -> None:
        counts = (("n_params", LARGEST_COUNT), ("d_tokens", LARGEST_COUNT))
        for name, limit in (*counts, ("loss", LARGEST_LOSS), ("flops", LARGEST_FLOPS)):
            check_column(name, getattr(self, name), limit, self.source)

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def flops_6nd(self) -> np.ndarray:
        """6 N D in the points' own count of N (Kaplan et al. 2020)."""
        return 6.0 * self.n_params * self.d_tokens

    @property
    def digest(self) -> str:
        """SHA-256 (first 16 hex digits) of N, D and loss, in row order."""
        table = np.stack([self.n_params, self.d_tokens, self.loss]).astype("<f8")
        return hashlib.sha256(table.tobytes()).hexdigest()[:16]

    def columns(self) -> Mapping[str, np.ndarray]:
        """All inputs of laws, by name."""
        return {"n_params": self.n_params, "d_tokens": self.d_tokens, "flops": self.flops, **self.extra}

    def take(self, keep: np.ndarray) -> Points:
        """The rows where `keep` (mask or indices) says so."""
        index = np.flatnonzero(keep) if keep.dtype == bool else keep
        return Points(
            n_params=self.n_params[index],
            d_tokens=self.d_tokens[index],
            loss=self.loss[index],
            flops=self.flops[index],
            cluster=tuple(self.cluster[i] for i in index),
            source=self.source,
            n_definition=self.n_definition,
            flops_definition=self.flops_definition,
            excluded=self.excluded,
            extra={name: values[index] for name, values in self.extra.items()},
            replicate=None if self.replicate is None else self.replicate[index],
        )


def check_column(name: str, values: np.ndarray, limit: float, source: str) -> None:
    """Raises InputError unless all values are finite, from SMALLEST to `limit`; names the first bad row."""
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= SMALLEST) & (values <= limit)))
    if bad.size:
        row = int(bad[0])
        raise InputError(
            f"{source}: column {name!r} holds {float(values[row])!r} in data row {row + 1} ({bad.size} bad rows); "
            f"allowed is {SMALLEST:g} <= {name} <= {limit:g}. Correct it or leave the rows out with --where"
        )
