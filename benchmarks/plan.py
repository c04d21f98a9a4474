"""Does the planner give back what was published, and how long does it take? Prints the tables of docs/planning.md.

python benchmarks/plan.py                  # the tables that tests hold docs/planning.md against
python benchmarks/plan.py RUNS.csv         # and the time of `python -m fitting plan` from a stored law of these runs
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fitting.chips import chip_named
from fitting.planner.choices import best_served
from fitting.planner.make import make_plan
from fitting.planner.own_runs import OwnRuns
from fitting.planner.published import published
from fitting.planner.request import Request
from fitting.planner.speed import public_runs, public_speed
from fitting.planner.surface import training_flops
from fitting.planner.token_cost import SixN
from fitting.show import si

SETS = ("hoffmann-tex", "hoffmann-rounded", "besiroglu", "muennighoff")
BUDGETS = (1e21, 5.76e23, 1e24, 3.8e25)
SHARES = (0.75, 0.5, 0.33, 0.25, 0.1)
REPEATS = 9

# Name, chip, active parameters, tokens, chip-hours, source.
TIMED = (
    ("LLaMA-65B", "a100-80gb", 65.2e9, 1.4e12, 1_022_362, "arXiv:2302.13971, table 15"),
    ("Llama-2-7B", "a100-80gb", 6.74e9, 2e12, 184_320, "arXiv:2307.09288, table 2"),
    ("Llama-2-13B", "a100-80gb", 13.02e9, 2e12, 368_640, "arXiv:2307.09288, table 2"),
    ("Llama-2-34B", "a100-80gb", 33.7e9, 2e12, 1_038_336, "arXiv:2307.09288, table 2"),
    ("Llama-2-70B", "a100-80gb", 68.98e9, 2e12, 1_720_320, "arXiv:2307.09288, table 2"),
    ("Llama-3-8B", "h100", 8.03e9, 15e12, 1.3e6, "model card"),
    ("Llama-3-70B", "h100", 70.6e9, 15e12, 6.4e6, "model card"),
    ("Llama-3.1-405B", "h100", 405e9, 15.6e12, 30.84e6, "model card"),
    ("DeepSeek-V3", "h100", 37e9, 14.8e12, 2.664e6, "arXiv:2412.19437, table 1"),
)


def main(paths: list[str]) -> None:
    for title, table in tables().items():
        print(f"### {title}\n\n{table}\n")
    if paths:
        print(f"### Time\n\n{times(paths[0])}")


def tables() -> dict[str, str]:
    """Title -> table, in Markdown."""
    return {
        "Hours of public runs, each forecast without its own row": _hours(),
        "The optimum under four published sets": _optima(),
        "Extra compute of a smaller model at the same loss": _overheads(),
        "A model of 13B quality that serves 2T tokens": _served(),
    }


def _hours() -> str:
    rows = ["| run | 6ND | published chip-hours | MFU reached | forecast, 90% | inside |", "|---|---|---|---|---|---|"]
    for name, chip_name, n, d, hours, source in TIMED:
        chip = chip_named(chip_name)
        request = Request(n_params=n, d_tokens=d, chip_hours=hours)
        plan = make_plan(request, published("besiroglu"), chip, OwnRuns(), SixN())
        others = tuple(run for run in public_runs() if not run.run.startswith(name))
        speed = public_speed(chip, n, others)
        value, low, high = (
            training_flops(n, d) / (chip.peak_flops * 3600 * mfu) for mfu in (speed.value, speed.high, speed.low)
        )
        inside = "yes" if low <= hours <= high else "no"
        rows.append(
            f"| {name} ({source}) | {plan.flops.value:.4g} | {hours:,.0f} {chip.name} | "
            f"{plan.bill.rates.speed.value:.1%} | {si(value)} ({si(low)} .. {si(high)}) | {inside} |"
        )
    return "\n".join(rows)


def _optima() -> str:
    rows = ["| constants | " + " | ".join(f"{budget:.3g} FLOPs" for budget in BUDGETS) + " |", "|---|" + "---|" * 4]
    for name in SETS:
        surface = published(name).surfaces[name]
        cells = []
        for budget in BUDGETS:
            n, d = surface.optimum(budget)
            cells.append(f"N* {si(n)}, D* {si(d)}, L* {surface.least_loss(budget):.4f}")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _overheads() -> str:
    rows = ["| constants | " + " | ".join(f"{share:g} N*" for share in SHARES) + " |", "|---|" + "---|" * len(SHARES)]
    for name in SETS:
        surface = published(name).surfaces[name]
        found = [float(surface.overhead(share)) for share in SHARES]
        rows.append(f"| {name} | " + " | ".join(map(_overhead, found)) + " |")
    return "\n".join(rows)


def _overhead(extra: float) -> str:
    return "impossible" if extra != extra else f"{extra:+.1%}" if extra < 10 else f"{1 + extra:,.0f} times"


def _served() -> str:
    rows = ["| constants | N | D | training FLOPs | saved in its life |", "|---|---|---|---|---|"]
    for name in SETS:
        belief = published(name)
        surface = belief.surfaces[name]
        d = float(surface.tokens_suiting(13e9))
        found = best_served(belief.blend(1e22), belief.draws(1e22), 13e9, d, float(surface.loss(13e9, d)), 2e12, SixN())
        rows.append(
            f"| {name} | {si(found.n_params.value)} | {si(found.d_tokens.value)} | {found.training_flops:.3g} | "
            f"{found.saving.value:.1%} |"
        )
    return "\n".join(rows)


def times(path: str) -> str:
    """Wall seconds of whole processes, from a stored law and from published constants."""
    with tempfile.TemporaryDirectory() as folder:
        law = str(Path(folder) / "law.json")
        command = [sys.executable, "-m", "fitting"]
        fitting = _seconds([*command, "fit", "--points", path, "--law", "auto", "--out", law], 1)
        page = str(Path(folder) / "plan.html")
        plans = {
            "plan --fit": ["plan", "--fit", law, "--flops", "1e24"],
            "plan --fit, every choice": [
                *("plan", "--fit", law, "--dollars", "2e6", "--chip", "h100", "--serve-tokens", "1e12"),
                *("--unique-tokens", "1e12", "--count", "exact", "--out", page),
            ],
            "plan --law-constants": ["plan", "--law-constants", "besiroglu", "--flops", "1e24"],
        }
        rows = ["| command | seconds (median) |", "|---|---|", f"| fit --law auto --out | {fitting:.1f} |"]
        rows += [f"| {name} | {_seconds([*command, *words], REPEATS):.2f} |" for name, words in plans.items()]
    return "\n".join(rows)


def _seconds(command: list[str], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    main(sys.argv[1:])
