"""Where does the law of a plan come from? A stored fit, points (fitted once, then kept), or a published set."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fitting.cache import cache_folder
from fitting.ensemble import QUANTILES
from fitting.errors import InputError
from fitting.planner.belief import Belief
from fitting.planner.own_runs import OwnRuns, own_runs
from fitting.planner.published import published
from fitting.planner.stored import FORMAT, StoredLaw, read_law, restored, stored
from fitting.points import Points
from fitting.posterior import PRIORS
from fitting.read import Columns, read_points
from fitting.table import read_table

STANDARD_COLUMNS = Columns()


@dataclass(frozen=True)
class LawSource:
    """Exactly one of the three is given."""

    fit: Path | None = None  # what `fit --out` wrote
    constants: str | None = None  # name of a published set
    points: Sequence[str] = ()
    law: str = "auto"
    where: str | None = None
    columns: Columns = STANDARD_COLUMNS
    force: bool = False  # fit even where the points identify no law

    def __post_init__(self) -> None:
        given = [name for name, value in self._choices().items() if value]
        if len(given) != 1:
            got = f"got {' and '.join(given)}" if given else "got none"
            raise InputError(
                f"where does the law come from? Give one of {', '.join(self._choices())} ({got}); published sets: "
                f"hoffmann-tex, hoffmann-rounded, besiroglu, muennighoff"
            )

        of_points = {
            "--law": self.law != "auto",
            "--where": self.where is not None,
            "--n-column, --d-column, --loss-column and --cluster-column": self.columns != STANDARD_COLUMNS,
            "--force": self.force,
        }
        idle = [name for name, used in of_points.items() if used]
        if idle and not self.points:
            raise InputError(f"{idle[0]} is about --points, and the law comes from {given[0]}; leave it out")

    def _choices(self) -> dict[str, object]:
        return {"--fit": self.fit, "--points": list(self.points), "--law-constants": self.constants}


def law_of(source: LawSource, report: Callable[[str], None] = lambda words: None) -> StoredLaw:
    """Raises InputError where the source gives no law."""
    if source.fit is not None:
        return read_law(source.fit)
    if source.constants is not None:
        return StoredLaw(published(source.constants), OwnRuns())
    points = read_points(list(source.points), source.columns, source.where)
    own = own_runs_of(list(source.points), source.where, points.n_definition)
    return kept_law(points, source.law, own, report, source.force)


def kept_law(
    points: Points,
    law: str,
    own: OwnRuns,
    report: Callable[[str], None] = lambda words: None,
    force: bool = False,
) -> StoredLaw:
    """Fitted once, then kept in the cache. Raises InputError where the points identify no law."""
    kept = cache_folder() / "laws" / f"{_key(points, law, own)}.json"
    try:
        return restored(json.loads(kept.read_text()), str(kept))
    except (OSError, ValueError):
        pass  # not there, or of another version: fit
    found = StoredLaw(fit_belief(points, law, own.bytes_per_token, report, force), own)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(stored(found)))
    except OSError:
        pass  # a cache that cannot be written costs the next plan some seconds
    return found


def fit_belief(
    points: Points, law: str, bytes_per_token: float | None, report: Callable[[str], None], force: bool = False
) -> Belief:
    """The average of laws for "auto", else that law. Raises InputError where the points identify none."""
    from fitting.lint import refuse_unidentifiable

    if not force:
        refuse_unidentifiable(points)
    if law == "auto":
        from fitting.planner.fitted import belief_from_average

        return belief_from_average(points, bytes_per_token, report)
    from fitting.fit import fit_law
    from fitting.planner.fitted import belief_from_fit

    report(f"{law}: fit and bootstrap")
    return belief_from_fit(fit_law(points, law), bytes_per_token)


def own_runs_of(paths: Sequence[str], where: str | None, n_column: str) -> OwnRuns:
    """What the files say beside their losses. n_column: the N that the law is fitted in."""
    return own_runs(read_table(paths), n_column, where, ", ".join(paths))


def _key(points: Points, law: str, own: OwnRuns) -> str:
    """A name for what a stored law depends on."""
    facts: list[object] = [FORMAT, points.digest, points.n_definition, points.source, points.excluded, law]
    facts += [dataclasses.asdict(own), PRIORS, QUANTILES]  # a law kept before these changed says something else
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:24]
