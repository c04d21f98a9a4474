"""The published sweep: what README and docs/results.md say of it is made again from its store and compared."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from fitting.fit import fit_law
from fitting.parabola import lowest
from results.record import RunStatus

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
import published  # noqa: E402
import published_tables as tables  # noqa: E402

NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e-?\d+)?")
STORE = ROOT / tables.STORE


@pytest.fixture(scope="module")
def store(monkeypatch_module: pytest.MonkeyPatch) -> tables.Published:
    monkeypatch_module.chdir(ROOT)
    return tables.Published(Path(tables.STORE))


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def require_same(made: str, kept: str) -> None:
    """Word for word, numbers within two units of their last digit: another processor rounds otherwise."""
    # Words are wrapped by length, which a digit more can move.
    assert " ".join(NUMBER.sub("#", made).split()) == " ".join(NUMBER.sub("#", kept).split())
    for one, other in zip(NUMBER.findall(made), NUMBER.findall(kept), strict=True):
        digits = one.replace(",", "").split("e")[0]
        unit = 10.0 ** -len(digits.partition(".")[2]) * 10.0 ** float(one.partition("e")[2] or 0)
        assert float(one.replace(",", "")) == pytest.approx(float(other.replace(",", "")), abs=2.01 * unit), (
            one,
            other,
        )


def test_the_numbers_of_a_page_are_compared():
    require_same("error 4.12% of 1,024 at 3e10", "error 4.13% of 1,025 at 3e10")
    with pytest.raises(AssertionError):
        require_same("error 4.12%", "error 4.15%")
    with pytest.raises(AssertionError):
        require_same("5 of 24 are in", "8 of 24 are in")
    with pytest.raises(AssertionError):
        require_same("3.2% (in)", "3.2% (out)")


def test_the_readme_says_what_the_store_says(store: tables.Published):
    kept = (ROOT / "README.md").read_text().split(published.BEGIN)[1].split(published.END)[0]
    require_same(published.readme_block(store), kept)


def test_the_page_of_results_says_what_the_store_says(store: tables.Published):
    require_same(published.document(store), (ROOT / "docs" / "results.md").read_text())


@pytest.mark.parametrize("count", tables.COUNTS)
def test_a_shipped_fit_is_found_again(store: tables.Published, count: str):
    kept = json.loads((STORE / "fits" / f"chinchilla-{count}.json").read_text())
    fit = fit_law(store.points(count), "chinchilla", resamples=100)
    assert fit.points.digest == kept["points"]["sha256"]
    assert fit.status.value == kept["status"]
    for name, value in fit.constants.items():
        assert value == pytest.approx(kept["constants"][name]["value"], rel=1e-4), name


def test_every_forecast_was_sealed_before_any_target_began_and_from_fitted_runs_alone(store: tables.Published):
    targets = store.role("target")
    began = min(target.started_at or 0.0 for target in targets)
    assert len(store.outcomes) == 144
    assert all(one.forecast.sealed_at < began for one in store.outcomes)
    assert {one.forecast.run_id for one in store.outcomes} == {target.run_id for target in targets}
    whole = {one.forecast.points_sha256 for one in store.outcomes if one.forecast.points == 57}
    assert whole == {store.points().digest}


def test_what_is_shipped_is_small_whole_and_of_no_machine(store: tables.Published):
    files = [file for file in STORE.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files if file.suffix == ".parquet") < 5e6
    assert all(record.status == RunStatus.DONE for record in store.records)
    report = (STORE / "report.html").read_text()
    assert f"<td>{tables.STORE}</td>" in report
    for text in (report, *(file.read_text() for file in files if file.suffix == ".json")):
        assert not re.search(r"/(?:home|root|work|tmp)/", text)


def test_the_lowest_point_of_a_parabola():
    x = np.log([1.0, 2.0, 4.0, 8.0])
    best, least = lowest(x, 3 + (x - 1.5) ** 2)
    assert (best, least) == (pytest.approx(1.5), pytest.approx(3.0))
