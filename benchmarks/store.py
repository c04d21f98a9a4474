"""How fast is a store of many runs? python benchmarks/store.py [--runs 10000] [--repeats 5]

Makes a synthetic store in a temporary folder: runs with a spec of 1 kB, one in twenty still in training; every tenth
run has a curve in four parts and two evaluations. Prints the table of docs/store.md. Files are in the system's cache.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitting.read import Columns, read_points
from results.compact import compact
from results.measurement import Measurement
from results.points import record_points
from results.record import RunRecord, RunStatus, record_fields
from results.store import Store

SPEC_BYTES = 1000
CURVE_PARTS, CURVE_ROWS, FIGURES = 4, 50, 20
WITH_CURVES = 10  # one run in so many


@dataclass(frozen=True)
class Taken:
    """Seconds. Processor time, of child processes too, tells what others on the machine add to the other figure."""

    wall: float
    processor: float

    @staticmethod
    def by(question: Callable[[], object]) -> Taken:
        began, used = time.perf_counter(), sum(os.times()[:4])
        question()
        return Taken(time.perf_counter() - began, sum(os.times()[:4]) - used)

    def over(self, count: int) -> str:
        return f"{seconds(self.wall / count)} / {seconds(self.processor / count)}"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--runs", type=int, default=10_000)
    asked.add_argument("--repeats", type=int, default=5)
    arguments = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Store(Path(folder) / "store"), arguments.runs, arguments.repeats)


def measure(store: Store, runs: int, repeats: int) -> None:
    records = [a_record(index) for index in range(runs)]
    written = Taken.by(lambda: [store.write(record) for record in records])
    print(f"{runs} runs, medians of {repeats}, wall / processor seconds\n\n| | before compact | after |\n|---|---|---|")
    for record in records[::WITH_CURVES]:
        write_curve_and_evaluations(store, record.run_id)
    ids = [record.run_id for record in random.Random(0).sample(records, min(runs, 1000))]
    questions: dict[str, Callable[[], object]] = {
        "`Store.records()`, nothing remembered": lambda: Store(store.name).records(),
        "`Store.records()` again by the same object": store.records,
        "`Store.read(run_id)`, each": lambda: [store.read(run_id) for run_id in ids],
        "points of a fit, `record_points(records)`": lambda: record_points(Store(store.name).records()[0], store.name),
        "points of a fit, `python -m fitting` reading": lambda: points_of(store),
        "`python -m results ls`, whole process": lambda: command("ls", store),
        "`python -m results ls --json`, whole process": lambda: command("ls", store, "--json"),
        "`python -m results export`, whole process": lambda: command("export", store, "--out", f"{store.name}.csv"),
    }
    store.records()
    before = {name: median(question, repeats) for name, question in questions.items()}
    done = []
    compacted = Taken.by(lambda: done.append(compact(store)))
    store.records()
    after = {name: median(question, repeats) for name, question in questions.items()}
    for name in questions:
        each = len(ids) if name.endswith("each") else 1
        print(f"| {name} | {before[name].over(each)} | {after[name].over(each)} |")
    files = sum(one.run_files + one.curve_files + one.evaluation_files for one in done)
    print(f"| `Store.write(record)`, each | {written.over(runs)} | |")
    print(f"| `compact` of {files:,} files | {compacted.over(1)} | |")


def a_record(index: int) -> RunRecord:
    """A run whose loss lies on L = 1.8 + 60/N^0.35 + 400/D^0.4; random figures, so that nothing compresses too well."""
    dice = random.Random(index)
    n, d = 10 ** dice.uniform(4, 7), 10 ** dice.uniform(6, 9)
    loss = (1.8 + 60 / n**0.35 + 400 / d**0.4) * (1 + 0.002 * dice.gauss(0, 1))
    spec = json.dumps({f"field_{number}": dice.random() for number in range(SPEC_BYTES // 33)})
    required = [field.name for field in dataclasses.fields(RunRecord) if field.default is dataclasses.MISSING]
    kinds, running = record_fields(), index % 20 == 19
    columns: dict[str, Any] = {name: kinds[name](dice.randint(1, 100)) for name in required}
    columns |= {"run_id": f"{dice.getrandbits(64):016x}", "role": "fit", "spec_json": spec}
    columns |= {"corpus_fingerprint": "abcdef0123456789", "eval_tokens": 100_000, "host": "elsewhere"}
    columns |= {"n_params_non_embedding": n, "d_tokens": d, "flops": 6.5 * n * d}
    columns |= {"loss": loss, "loss_se": dice.uniform(0.001, 0.01), "bpb": loss / 2.9, "seconds": dice.uniform(1, 1000)}
    columns |= {"tokens_per_second": dice.uniform(1e3, 1e5), "started_at": 1.7e9 + index, "finished_at": 1.8e9 + index}
    columns |= {"status": RunStatus.DONE, "sentence": "trained to the end of its schedule"}
    if running:
        columns |= {"status": RunStatus.RUNNING, "sentence": "training", "loss": None, "bpb": None, "finished_at": None}
    return RunRecord(**columns)


def write_curve_and_evaluations(store: Store, run_id: str) -> None:
    names = ("tokens", "loss", "learning_rate", "weight_decay", "gradient_norm", "seconds", "tokens_per_second", "mfu")
    for part in range(CURVE_PARTS):
        steps = range(part * CURVE_ROWS, (part + 1) * CURVE_ROWS)
        store.write_curve(
            run_id, [{"step": step, "attempt": 1, **{name: random.random() for name in names}} for step in steps]
        )
    for step in (100, 200):
        domains = (f"domain-{number}" for number in range(FIGURES))
        figures = [Measurement(step, 1e6, 1, "domain", name, "loss", random.random(), 0.01, 64) for name in domains]
        store.write_measurements(run_id, figures)


def points_of(store: Store) -> object:
    return read_points([store.name], Columns(n_params="n_params_non_embedding"))


def command(name: str, store: Store, *options: str) -> None:
    words = [sys.executable, "-m", "results", name, "--store", store.name, *options]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def median(question: Callable[[], object], repeats: int) -> Taken:
    taken = [Taken.by(question) for _ in range(repeats)]
    return Taken(statistics.median(one.wall for one in taken), statistics.median(one.processor for one in taken))


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1000:.2g} ms"


if __name__ == "__main__":
    main()
