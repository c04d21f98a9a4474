"""Use of context: loss far into a window against near its beginning, and what the published sweep says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_figures import a_record

from results.context import USED, context_use, no_context_used
from results.measurement import Measurement
from results.record import RunRecord
from results.store import Store

PUBLISHED = Path(__file__).resolve().parent.parent / "results" / "published" / "python_source"


def at(start: int, loss: float, count: int = 100, step: int = 10, kind: str = "position") -> Measurement:
    return Measurement(step, 1e6, 1, kind, f"{start}", "loss", loss, 0.03, count)


def run(name: str, role: str = "fit", flops: float = 1e12) -> RunRecord:
    return a_record(name, 1e5, 1e6, role=role).replace(flops=flops)


def test_the_gain_is_of_the_last_evaluation_and_late_buckets_count_by_their_tokens():
    rows = [at(8, 9.0, step=5), at(32, 1.0, step=5), at(8, 4.0), at(16, 3.9), at(32, 3.6, 300), at(64, 3.2, 100)]
    (use,) = context_use([run("a")], {"a": rows})
    assert use.far == pytest.approx((3 * 3.6 + 3.2) / 4)
    assert use.gain == pytest.approx(1 - 3.5 / 4.0)
    assert use.standard_error == pytest.approx(0.03 * 2**0.5 / 4.0)


def test_runs_that_cannot_tell_are_absent():
    short = [at(8, 4.0), at(16, 3.9)]
    assert context_use([run("a"), run("b")], {"a": short}) == []
    assert context_use([run("a")], {"a": [at(8, 4.0, kind="domain"), at(32, 3.0, kind="domain")]}) == []


def test_only_fitted_runs_speak_for_a_law():
    flat, steep = [at(8, 4.0), at(32, 3.99)], [at(8, 4.0), at(32, 3.0)]
    runs = [run("a"), run("t", "target"), run("c", "check")]
    told = no_context_used(context_use(runs, {"a": flat, "t": steep, "c": steep}))
    assert told is not None
    assert "at most 0.2% off a loss" in told
    assert no_context_used(context_use(runs, {"a": steep, "t": flat})) is None
    assert no_context_used([]) is None


def test_no_fitted_run_of_the_published_sweep_used_its_context_and_every_dear_target_did():
    store = Store(PUBLISHED)
    uses = context_use(store.records()[0], store.all_measurements())
    assert no_context_used(uses) is not None
    targets = [use for use in uses if use.record.role == "target"]
    assert sorted(use.gain > 2 * USED for use in targets) == [False] * 3 + [True] * 3
    assert [use.gain > 2 * USED for use in targets] == [use.record.flops > 2e13 for use in targets]
