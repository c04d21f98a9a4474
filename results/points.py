"""Which records may a law be fitted to? The finished runs of one held-out set; the rest is named as left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from fitting.choose import choose_law
from fitting.fit import Fit
from fitting.points import Points
from fitting.replicates import SEED, SPEC, replicates
from results.record import CHECK, TARGET, RunRecord, RunStatus

# The count that the law of a sweep is fitted in: without the embedding and the head, whose share falls with N.
N_DEFINITION = "n_params_non_embedding"
FEWEST_RUNS = 8  # of five-parameter laws; below, no interval is worth printing
FEWEST_VALUES = 3  # of N and of D: with two, an exponent and a floor cannot be told apart


def record_points(records: Sequence[RunRecord], source: str, n_definition: str = N_DEFINITION) -> Points | None:
    """The runs that can be fitted; None where `shortfall` has something to say. Targets never are: they are the test.

    Rows stand in the order of the run_id, so that the same runs give the same hash and the same bootstrap whoever
    reads them and in whatever order they finished.
    """
    usable, excluded = _split(records)
    if _missing_of(usable):
        return None
    return Points(
        n_params=np.asarray([getattr(record, n_definition) for record in usable]),
        d_tokens=np.asarray([record.d_tokens for record in usable]),
        loss=np.asarray([record.loss for record in usable], dtype=float),
        flops=np.asarray([record.flops for record in usable]),
        cluster=tuple(record.run_id for record in usable),
        source=source,
        n_definition=n_definition,
        flops_definition="exact training FLOPs",
        excluded=tuple(excluded),
        replicate=replicates(
            {name: np.asarray([getattr(record, name) for record in usable]) for name in (SEED, SPEC)},
            np.asarray([getattr(record, n_definition) for record in usable]),
            np.asarray([record.d_tokens for record in usable]),
        ),
    )


def fit_records(records: Sequence[RunRecord], source: str) -> Fit | None:
    """The law of these runs. Raises InputError where the points are there but leave no answer."""
    points = record_points(records, source)
    if points is None:
        return None
    key = (points.digest, points.source, points.excluded)
    if key not in _fits:
        _fits.clear()  # a sweep and its report ask about the same points; nobody needs the ones before
        _fits[key] = choose_law(points)
    return _fits[key]


_fits: dict[tuple, Fit] = {}


def shortfall(records: Sequence[RunRecord]) -> str | None:
    """One sentence on why `record_points` gives None, and what to add; None where a law can be fitted."""
    missing = _missing_of(_split(records)[0])
    return _too_few(missing) if missing else None


def shortfall_of(n_params: np.ndarray, d_tokens: np.ndarray) -> str | None:
    """The same of points (points,)."""
    missing = _missing(n_params.tolist(), d_tokens.tolist())
    return _too_few(missing) if missing else None


def _too_few(missing: str) -> str:
    return (
        f"a law needs {FEWEST_RUNS} finished runs with {FEWEST_VALUES} values of N and {FEWEST_VALUES} of D "
        f"(targets aside); here are {missing}. Add runs"
    )


def _missing_of(usable: Sequence[RunRecord]) -> str:
    return _missing([getattr(record, N_DEFINITION) for record in usable], [record.d_tokens for record in usable])


def _missing(n_params: Sequence[float], d_tokens: Sequence[float]) -> str:
    """What is there, where it is too little; else empty."""
    sizes, horizons = len(set(n_params)), len(set(d_tokens))
    if len(n_params) >= FEWEST_RUNS and min(sizes, horizons) >= FEWEST_VALUES:
        return ""
    return f"{len(n_params)} with {sizes} and {horizons}"


def _split(records: Sequence[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """Usable records by run_id, and one sentence for each one left out, those that check the recipe together."""
    usable, excluded, checks = [], [], 0
    for record in sorted(records, key=lambda record: record.run_id):
        if record.role == TARGET:
            continue
        if record.role == CHECK:
            checks += 1
            continue
        if record.status != RunStatus.DONE:
            excluded.append(f"{record.status} ({record.run_id[:8]}: {record.sentence})")
        elif record.loss is None or not (np.isfinite(record.loss) and record.loss > 0):
            excluded.append(f"no usable loss ({record.run_id[:8]}: done, but its loss is {record.loss})")
        else:
            usable.append(record)
    if checks:
        excluded.append(f"{checks} run{'s' * (checks > 1)} that check{'s' * (checks == 1)} the recipe")
    # Losses on different held-out sets are different quantities: only the set with the most runs is fitted.
    sets = Counter(_held_out_set(record) for record in usable)
    if len(sets) > 1:
        kept, _ = max(sets.items(), key=lambda item: (item[1], item[0]))
        for record in usable:
            if _held_out_set(record) != kept:
                name = f"{record.corpus} {record.corpus_fingerprint[:8]}, {record.eval_tokens} tokens"
                excluded.append(f"another held-out set ({record.run_id[:8]}: {name})")
        usable = [record for record in usable if _held_out_set(record) == kept]
    return usable, excluded


def _held_out_set(record: RunRecord) -> tuple[str, int]:
    return record.corpus_fingerprint, record.eval_tokens
