"""How long will a run take? Where it runs decides what is known of it."""

from __future__ import annotations

import socket

import pytest
from test_store import make_record
from tiny_runs import byte_corpus, make_spec

from sweep.estimate import ACCELERATOR_RATE, OVERHEAD_SECONDS, estimated_seconds


@pytest.fixture(scope="module")
def spec(text_folder):
    return make_spec(byte_corpus(text_folder), steps=10_000)


def record(spec, rate: float, **changes):
    size = spec.architecture.count(spec.data.sequence).flops
    fields = {
        "host": socket.gethostname(),
        "n_params_flops": size,
        "flops_per_second": rate,
        "cpu_threads": 1,
        **changes,
    }
    return make_record(**fields)


def busy(spec, records, **where) -> float:
    return estimated_seconds([spec], records, **where)[0] - OVERHEAD_SECONDS


def test_own_runs_of_this_machine_tell_the_rate(spec):
    records = [record(spec, 2e9), record(spec, 5e9, host="another"), record(spec, 7e9, cpu_threads=8)]
    assert busy(spec, records) == pytest.approx(spec.flops / 2e9)


def test_accelerators_are_assumed_until_a_run_on_some_has_told(spec):
    on_cpu = [record(spec, 2e9)]
    assert busy(spec, on_cpu, accelerators=8) == pytest.approx(spec.flops / (8 * ACCELERATOR_RATE))
    told = [*on_cpu, record(spec, 4e12, cpu_threads=None, devices=2, host="another")]
    assert busy(spec, told, accelerators=8) == pytest.approx(spec.flops / (8 * 2e12))
