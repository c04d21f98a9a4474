"""How fast is the dashboard? python benchmarks/dashboard.py [--runs 1000 10000] [--uncompacted]

Makes a synthetic store of so many runs on a known law (every one with a curve), starts `python -m results dashboard` on
it, and looks at it with a real browser. Prints the table of docs/dashboard.md: from the start of the command to its
address, to the first tab drawn, and for each interaction the time from the input to the last answer that it caused.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from results.compact import compact
from results.record import RunRecord, RunStatus, record_fields
from results.store import Store

REPEATS = 5
CHROMIUM = "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
QUIET_SECONDS = 0.35  # without a request: what an input caused is over
CURVE_ROWS = 60


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000])
    asked.add_argument("--uncompacted", action="store_true", help="one file a run, as a sweep leaves them")
    arguments = asked.parse_args()
    columns = {}
    for runs in arguments.runs:
        with tempfile.TemporaryDirectory() as folder:
            store = make_store(Path(folder) / "store", runs)
            if not arguments.uncompacted:
                compact(store)
            columns[runs] = measure(store)
    names = list(next(iter(columns.values())))
    print(f"\n| | {' | '.join(f'{runs:,} runs' for runs in columns)} |\n|---|{'---|' * len(columns)}")
    for name in names:
        print(f"| {name} | {' | '.join(one[name] for one in columns.values())} |")


def make_store(folder: Path, runs: int) -> Store:
    """Sizes and horizons over three decades each, half a percent off L = 1.8 + 60/N^0.35 + 400/D^0.4."""
    store, rng = Store(folder), np.random.default_rng(0)
    sizes, horizons = np.geomspace(1e5, 1e8, 25), np.geomspace(2e6, 2e9, 40)
    for index in range(runs):
        n, d = sizes[index % 25], horizons[index // 25 % 40]
        loss = float((1.8 + 60 / n**0.35 + 400 / d**0.4) * np.exp(0.005 * rng.standard_normal()))
        record = a_record(index, float(n), float(d), loss)
        store.write(record)
        store.write_curve(record.run_id, curve_rows(record))
    return store


def a_record(index: int, n: float, d: float, loss: float) -> RunRecord:
    """Every column that must be there, of the right type."""
    anything: dict[type, Any] = {str: "x", int: 1, float: 1.0}
    plain = {name: anything[kind] for name, kind in record_fields().items()}
    plain |= {
        "run_id": f"run-{index:06d}",
        "sweep": f"sweep-{index % 3}",
        "role": "fit",
        "status": RunStatus.DONE.value,
    }
    plain |= {"sentence": "trained", "seed": index // 1000, "mlp": ("gelu", "swiglu")[index % 2], "steps": 1000}
    plain |= {"n_params_non_embedding": n, "n_params": 1.2 * n, "n_params_active": n, "n_params_flops": 1.1 * n}
    plain |= {
        "d_tokens": d,
        "flops": 6.6 * n * d,
        "flops_6nd": 6 * n * d,
        "loss": loss,
        "loss_se": 0.01,
        "bpb": loss / 2,
    }
    plain |= {"trunk": None, "corpus_fingerprint": "one", "eval_tokens": 65536, "eval_bytes": 200_000}
    plain |= {"started_at": 1e9 + index, "finished_at": 1e9 + index + 60, "pid": None, "last_step": 1000}
    return RunRecord(**plain)


def curve_rows(record: RunRecord) -> list[dict[str, float]]:
    end = record.loss or 0.0
    steps = np.linspace(1, 1000, CURVE_ROWS).astype(int).tolist()
    return [
        {
            "step": step,
            "tokens": step * record.d_tokens / 1000,
            "loss": end + 4 * (1 - step / 1000) ** 3,
            "learning_rate": 0.01,
            "gradient_norm": 1.0,
            "seconds": 0.06 * step,
            "tokens_per_second": 1e5,
            "attempt": 1,
        }
        for step in steps
    ]


def measure(store: Store) -> dict[str, str]:
    from playwright.sync_api import sync_playwright

    began = time.perf_counter()
    line = [sys.executable, "-m", "results", "dashboard", "--store", store.name, "--port", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found
        address = found.group(0)
        told = {"start of the command to its address (s)": f"{time.perf_counter() - began:.2f}"}
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        watched = Watched(browser.new_page(viewport={"width": 1280, "height": 900}))
        told["first sight of the sweep, all figures (s)"] = f"{watched.until_quiet(lambda p: p.goto(address)):.2f}"
        for name, path, act in INTERACTIONS:
            watched.until_quiet(lambda p, path=path: p.goto(address + path), 2.0)
            watched.until_quiet(act)  # what is reckoned once a store, JAX's compilation among it
            taken = [1000 * watched.until_quiet(act) for _ in range(REPEATS)]
            told[f"{name} (ms)"] = f"{statistics.median(taken):.0f}"
        browser.close()
        server.terminate()
    return told


class Watched:
    """A page, and when it was last asked or told something by the server."""

    def __init__(self, page: Any):
        self.page, self.open, self.last = page, 0, 0.0
        page.on("request", lambda request: self._note(request, 1))
        page.on("requestfinished", lambda request: self._note(request, -1))
        page.on("requestfailed", lambda request: self._note(request, -1))

    def _note(self, request: Any, change: int) -> None:
        if "_dash-update" in request.url and '"output":"..version' in (request.post_data or ""):
            return  # the look every two seconds
        self.open, self.last = self.open + change, time.perf_counter()

    def until_quiet(self, act: Callable[[Any], object], quiet: float = QUIET_SECONDS) -> float:
        """Seconds from the input to the last answer that it caused."""
        began = self.last = time.perf_counter()
        act(self.page)
        while self.open > 0 or time.perf_counter() - self.last < quiet:
            self.page.wait_for_timeout(10)
        return self.last - began


def press(label: str, key: str = "ArrowRight") -> Callable[[Any], None]:
    """One step of a slider."""

    def act(page: Any) -> None:
        page.get_by_role("group", name=label, exact=True).get_by_role("slider").first.press(key)

    return act


def pick(label: str, first: str, second: str) -> Callable[[Any], None]:
    """The one of two options that is not chosen."""

    def act(page: Any) -> None:
        group = page.get_by_role("group", name=label, exact=True)
        button = group.locator("button, .dash-dropdown").first
        wanted = second if first in button.inner_text() else first
        button.click()
        page.locator(".dash-dropdown-option", has_text=wanted).first.click()

    return act


INTERACTIONS = (
    ("sweep: smoothing", "sweep", press("smoothing (rows of a curve)")),
    ("sweep: curves against", "sweep", pick("curves against", "training tokens seen", "seconds in training")),
    ("sweep: group the table", "sweep", pick("group the table by", "MLP", "sweep")),
    ("sweep: choose a run", "sweep?run=run-000001", lambda page: page.locator(".ag-row [col-id=loss]").nth(3).click()),
    ("law: cloud", "law?law=chinchilla", pick("cloud of", "alpha and beta", "E and beta")),
    (
        "law: a compute cut, all figures of the law",
        "law?law=chinchilla",
        press("fit only runs up to this compute", "ArrowLeft"),
    ),
    ("plan: budget, all figures and tables", "plan", press("budget: compute, times the dearest run")),
)


if __name__ == "__main__":
    main()
