"""python benchmarks/compose.py: milliseconds a run from overrides to specs, ours beside Hydra's own job by job.

Ours: the command's line parsed and composed once, then every run of the grid resolved, checked and named (its run_id).
Stock: Hydra 1.3's composing of each job, as its BasicSweeper and every launcher of it do for each job
(ConfigLoader.load_sweep_config), nothing resolved or checked. One process, one core, the median of three.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from sweep.config import sweep_settings
from sweep.data.manifest import CorpusInfo
from sweep.designs.grid import combinations
from sweep.expand import expanded

RUNS = (100, 1_000, 10_000)
STOCK_JOBS = 24
ROUNDS = 3


def main() -> None:
    with initialize_config_module("conf", version_base="1.3"):
        ours = {runs: _seconds(lambda runs=runs: _ours(runs)) / runs for runs in RUNS}
        stock = _seconds(_stock) / STOCK_JOBS
    table = Table(title="Composing a grid, ms a run")
    for header in ("runs", "isoflop", "Hydra job by job", "ratio"):
        table.add_column(header, justify="right")
    for runs, seconds in ours.items():
        table.add_row(f"{runs:,}", f"{1e3 * seconds:.3f}", f"{1e3 * stock:.0f}", f"{stock / seconds:,.0f}")
    Console().print(table)


def _seconds(work: Callable[[], None]) -> float:
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _overrides(runs: int) -> list[str]:
    """A grid of N x D."""
    side = round(runs**0.5)
    n, d = (np.geomspace(low, high, count).round() for low, high, count in ((1e4, 1e8, side), (1e5, 1e9, runs // side)))
    return [f"model.n={','.join(map(str, n.astype(int)))}", f"data.tokens={','.join(map(str, d.astype(int)))}"]


def _ours(runs: int) -> None:
    config = _composed(_overrides(runs))
    parsed = OverridesParser.create().parse_overrides(_overrides(runs))
    axes = {axis.get_key_element(): list(axis.sweep_iterator(transformer=lambda value: value)) for axis in parsed}
    found = expanded(config, sweep_settings(config), axes, CorpusInfo.stand_in("python_source", 1024))
    assert len(found.specs) > 0.9 * runs  # neighbouring sizes can round to one shape
    assert all(spec.run_id for spec in found.specs)


def _stock() -> None:
    config = _composed([])
    axes = {"model.n": [10_000 * i for i in range(1, 5)], "data.tokens": [100_000 * i for i in range(1, 7)]}
    for point in combinations(axes):
        _loader().load_sweep_config(config, [f"{key}={value}" for key, value in point.items()])


def _composed(overrides: list[str]) -> DictConfig:
    return _loader().load_configuration("config", overrides, RunMode.MULTIRUN)


def _loader():
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    return hydra.config_loader


if __name__ == "__main__":
    main()
