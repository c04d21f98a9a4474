"""A store with everything that a dashboard can show: two recipes, seeds, targets with forecasts, every status."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from test_figures import HORIZONS, SIZES, a_record

from results.measurement import Measurement
from results.planned import PlannedRun, SweepPlan, write_plan
from results.record import RunRecord
from results.sealed import Forecast
from results.store import Store

HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>&\"'\x1b[31m%{y}"
SPEC = (
    '{"architecture":{"depth":2,"experts":1,"experts_per_token":1,"heads":2,"mlp":"squared_relu","mlp_width":320,'
    '"parametrisation":"complete_p","qk_norm":true,"queries_per_key":1,"tied":false,"vocab_size":1024,"width":64},'
    '"batch_sequences":4,"data":{"corpus":"python_source","curriculum":[],"eval_tokens":65536,"fingerprint":"abc",'
    '"seed":0,"separator":null,"sequence":64,"unique_tokens":null},"optimiser":{"beta1":0.9,"beta2":0.98,'
    '"clip_norm":1.0,"decay_exponent":0.5,"decay_tokens":1000000.0,"epsilon":1e-10,"kind":"adamw",'
    '"learning_rate":0.006,"weight_decay":0.1,"z_loss":0.0},"precision":"float32","schedule":{"decay_fraction":0.3,'
    '"kind":"wsd","warmup_steps":100},"seed":0,"steps":3906,"version":2}'
)
SOURCES = {"web": 0.9, "code": 0.7, "books": 1.1}


def sample_records() -> list[RunRecord]:
    """32 fitted runs (16 of each recipe), two targets, and one run in every other status."""
    rng = np.random.default_rng(0)
    found = []
    for recipe, factor in (("squared_relu", 1.0), ("swiglu", 0.985)):
        for i, n in enumerate(SIZES):
            for j, d in enumerate(HORIZONS):
                run = a_record(f"{recipe[:4]}-{i}{j}", n, d, mlp=recipe, spec_json=SPEC, corpus="python_source")
                loss = (run.loss or 0.0) * factor * float(np.exp(0.004 * rng.standard_normal()))
                bits = 8.0 * 0.3 * d * 2.5 / 8
                found.append(
                    run.replace(loss=loss, bpb=loss / 2, prequential_bits=bits, prequential_bytes=2.5 * d, mfu=0.31)
                )
    for i, n in enumerate((6e6, 1.2e7)):
        found.append(a_record(f"target-{i}", n, 2e8, role="target", started_at=1e9 + 100, spec_json=SPEC))
    found += [
        a_record(
            "bad-diverged", 2e5, 4e6, status="diverged", loss=None, bpb=None, sentence="loss not finite at step 7"
        ),
        a_record("bad-failed", 2e5, 2e7, status="failed", loss=None, bpb=None, sentence="MemoryError in step 3"),
        a_record(
            "bad-interrupted", 2e5, 8e6, status="interrupted", loss=None, bpb=None, sentence="stopped from outside"
        ),
        a_record("bad-running", 2e5, 1e7, status="running", loss=None, bpb=None, sentence="in training", last_step=40),
        a_record("bad-hostile", 2e5, 3e7, status="failed", loss=None, bpb=None, sentence=HOSTILE, sweep=HOSTILE),
    ]
    return found


def sample_forecasts() -> list[Forecast]:
    """Of both targets, by two laws, over two spans; the single law is over-confident."""
    found = []
    for target in ("target-0", "target-1"):
        n = 6e6 if target == "target-0" else 1.2e7
        truth = a_record("x", n, 2e8).loss or 0.0
        for law, off, half in (("auto", 0.01, 0.04), ("chinchilla", 0.02, 0.015)):
            for span in (4.0, 10.0):
                loss = truth * (1 + off * span / 10)
                found.append(
                    Forecast(
                        run_id=target,
                        law=law,
                        points_sha256=f"{int(span):016d}",
                        points=16,
                        n_definition="n_params_non_embedding",
                        loss=loss,
                        low=loss * (1 - half),
                        high=loss * (1 + half),
                        level=0.9,
                        span=span,
                        status="converged",
                        sentence="well",
                        sealed_at=1e9 + 50,
                        low50=loss * (1 - half / 3),
                        high50=loss * (1 + half / 3),
                        flops=7.2 * n * 2e8,
                        n_params=n,
                        d_tokens=2e8,
                    )
                )
    return found


def write_sample(folder: Path, records: list[RunRecord] | None = None) -> Store:
    """Forecasts are sealed before their runs are written, as the store demands."""
    store = Store(folder)
    for forecast in sample_forecasts() if records is None else ():
        store.seal(forecast)
    if records is None:
        write_plan(store, sample_plan())
    for record in sample_records() if records is None else records:
        store.write(record)
        store.write_curve(record.run_id, curve_rows(record))
        if record.bpb is not None:
            store.write_measurements(record.run_id, source_rows(record))
    return store


def sample_plan() -> SweepPlan:
    """All runs of the store and two that have not begun, at two dollars an hour."""
    known = [
        PlannedRun(r.run_id, r.role, r.n_params_non_embedding, r.d_tokens, r.flops, 20.0)
        for r in sample_records()
        if r.run_id != "bad-hostile"
    ]
    waiting = [PlannedRun(f"waiting-{i}", "fit", 4e5 * (1 + i), 1e7, 7.2 * 4e5 * (1 + i) * 1e7, 30.0) for i in range(2)]
    return SweepPlan("small", 1e9 - 10, "elsewhere", 1, 2, 2.0, "local", (*known, *waiting))


def curve_rows(record: RunRecord, rows: int = 40) -> list[dict[str, float]]:
    end = record.loss or 3.0
    return [
        {
            "step": step,
            "tokens": step * record.d_tokens / rows,
            "loss": end + 3.0 * (1 - step / rows) ** 3 + 0.02 * float(np.sin(9 * step)),
            "learning_rate": 0.01 * min(1.0, (rows - step + 1) / 12),
            "weight_decay": 0.1,
            "gradient_norm": 1.0 + 0.1 * float(np.cos(step)),
            "seconds": 0.25 * step,
            "tokens_per_second": 1e4 + 100 * step,
            "mfu": 0.3,
            "attempt": 1,
        }
        for step in range(1, rows + 1)
    ]


def source_rows(record: RunRecord) -> list[Measurement]:
    return [
        Measurement(record.steps, record.d_tokens, 1, "domain", name, "bpb", (record.bpb or 1.0) * share, 0.01, 1000)
        for name, share in SOURCES.items()
    ] + position_rows(record)


def position_rows(record: RunRecord) -> list[Measurement]:
    """Losses by position of a run that uses its context the more, the more compute it had; each twice as long."""
    loss = record.loss or 3.0
    gain = 0.02 * float(np.log10(record.flops / 1e10))
    starts = {1: 1.4, 2: 1.25, 4: 1.1, 8: 1.0, 16: 1 - gain / 2, 32: 1 - gain, 64: 1 - gain}
    return [
        Measurement(record.steps, record.d_tokens, 1, "position", f"{start}", "loss", loss * share, 0.01, 100 * start)
        for start, share in starts.items()
    ]
