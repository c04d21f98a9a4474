"""Which forecasts are sealed? One file for each run, law and set of points; who comes first is the one that counts.

`forecasts/RUN/LAW-POINTS.json`; before there were several a run, it was `forecasts/RUN.json`, which is read still.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from fitting.errors import InputError
from results.compacted import Damaged, damage
from results.files import Files
from results.sealed import Forecast, forecast_of, forecast_text

FOLDER = "forecasts"
_UNREADABLE = (OSError, ValueError, TypeError)


def seal(files: Files, forecast: Forecast) -> None:
    """Nothing is written where this run, law and set of points have a file."""
    name = f"{FOLDER}/{forecast.run_id}/{forecast.law}-{forecast.points_sha256}.json"
    files.write_once(name, forecast_text(forecast).encode())


def sealed_of(files: Files, run_id: str) -> list[Forecast]:
    """Of one run, oldest first. Raises InputError where a file is damaged: what it says must not be sealed anew."""
    found, damaged = _read(files, run_id)
    try:
        found.append(forecast_of(files.read(f"{FOLDER}/{run_id}.json")))
    except FileNotFoundError:
        pass
    except _UNREADABLE as error:
        damaged.append(damage(files.where(f"{FOLDER}/{run_id}.json"), error))
    if damaged:
        where, reason = damaged[0].path, damaged[0].reason
        raise InputError(f"{where} cannot be read ({reason}); restore it, or move it away to seal anew")
    return _in_order(found)


def all_sealed(files: Files) -> tuple[list[Forecast], list[Damaged]]:
    """Oldest first, and the files that could not be read."""
    with ThreadPoolExecutor(files.threads) as pool:
        parts = list(pool.map(lambda run_id: _read(files, run_id), [None, *files.folders(FOLDER)]))
    return _in_order([one for found, _ in parts for one in found]), [one for _, damaged in parts for one in damaged]


def _read(files: Files, run_id: str | None) -> tuple[list[Forecast], list[Damaged]]:
    """Of a run's folder; None: the files of before."""
    found, damaged = [], []
    for entry in files.entries(FOLDER if run_id is None else f"{FOLDER}/{run_id}"):
        if not entry.name.endswith(".json"):
            continue
        try:
            forecast = forecast_of(files.read(entry.name))
            if run_id is not None and forecast.run_id != run_id:
                raise ValueError(f"it lies with run {run_id} and is about run {forecast.run_id:.40}")
            found.append(forecast)
        except _UNREADABLE as error:
            damaged.append(damage(files.where(entry.name), error))
    return found, damaged


def _in_order(forecasts: list[Forecast]) -> list[Forecast]:
    return sorted(forecasts, key=lambda one: (one.sealed_at, one.run_id, one.law, one.points_sha256))
