"""A belief as plain JSON, so that a plan need not fit again (nor import JAX)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from fitting.ensemble import Ensemble, Member
from fitting.errors import InputError
from fitting.laws import law_named
from fitting.planner.average import AverageLaw
from fitting.planner.belief import Belief, Provenance
from fitting.planner.own_runs import OwnRuns
from fitting.planner.single import SingleLaw
from fitting.planner.surface import Surface
from fitting.posterior import Mode

FORMAT = 2


@dataclasses.dataclass(frozen=True)
class StoredLaw:
    """A belief, and what else the runs behind it say."""

    belief: Belief
    own: OwnRuns


def stored(law: StoredLaw) -> dict[str, Any]:
    """Plain JSON types only."""
    record: dict[str, Any] = {"format": FORMAT, "shown": dataclasses.asdict(law.belief.provenance)}
    record["own_runs"] = dataclasses.asdict(law.own)
    belief = law.belief
    if isinstance(belief, SingleLaw):
        record["single"] = {
            "surface": _plain(belief.surface),
            "draws": _plain(belief.resampled),
            "noise": belief.noise,
            "at_home": belief.at_home,
            "per_decade": belief.per_decade,
        }
    elif isinstance(belief, AverageLaw):
        record["average"] = {
            "members": [dataclasses.asdict(member) for member in belief.ensemble.members],
            "largest": belief.ensemble.largest,
            "modes": [
                {
                    "law": name,
                    "half_decade": group,
                    "centre": mode.centre.tolist(),
                    "theta": mode.theta.tolist(),
                    "covariance": mode.covariance.tolist(),
                    "draws": belief.theta_draws[name, group].tolist(),
                }
                for (name, group), mode in belief.ensemble.modes.items()
            ],
        }
    return record


def restored(record: dict[str, Any], source: str) -> StoredLaw:
    """Raises InputError where the record is not one that `fit --out` wrote."""
    try:
        if record["format"] != FORMAT:
            raise InputError(
                f"{source}: format {record['format']!r}; this version reads {FORMAT}. Write it again with fit --out"
            )
        shown = Provenance(**record["shown"])
        facts = record["own_runs"]
        own = OwnRuns(**facts)
        return StoredLaw(
            _single(shown, record["single"]) if "single" in record else _average(shown, record["average"]), own
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{source}: no law that can be planned with ({type(error).__name__}: {error}); write one with "
            f"python -m fitting fit --points … --law auto --out {source}"
        ) from None


def read_law(path: Path) -> StoredLaw:
    """From the file that `fit --out` wrote. Raises InputError where it holds no law."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no JSON ({error})"
        raise InputError(f"--fit {path}: {reason}; give a file that fit --out wrote") from None
    if not isinstance(record, dict) or not isinstance(record.get("planner"), dict):
        raise InputError(
            f"--fit {path}: holds no law; write one with python -m fitting fit --points … --law auto --out {path}"
        )
    return restored(record["planner"], str(path))


def _single(shown: Provenance, record: dict[str, Any]) -> SingleLaw:
    return SingleLaw(
        shown=shown,
        surface=Surface(**record["surface"]),
        resampled=Surface(**{name: np.asarray(values, float) for name, values in record["draws"].items()}),
        noise=float(record["noise"]),
        at_home=float(record["at_home"]),
        per_decade=float(record["per_decade"]),
    )


def _average(shown: Provenance, record: dict[str, Any]) -> AverageLaw:
    modes = {
        (row["law"], int(row["half_decade"])): Mode(
            law_named(row["law"]), *(np.asarray(row[name], float) for name in ("centre", "theta", "covariance"))
        )
        for row in record["modes"]
    }
    members = tuple(Member(**member) for member in record["members"])
    draws = {(row["law"], int(row["half_decade"])): np.asarray(row["draws"], float) for row in record["modes"]}
    return AverageLaw(shown, Ensemble(members, modes, float(record["largest"])), draws)


def _plain(surface: Surface) -> dict[str, Any]:
    return {field.name: np.asarray(getattr(surface, field.name)).tolist() for field in dataclasses.fields(surface)}
