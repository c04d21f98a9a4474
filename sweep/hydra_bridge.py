"""What `-m` means: commas become axes of the design, and the whole sweep is composed once and handed over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from fitting.errors import InputError
from sweep.designs.grid import combinations
from sweep.interrupt import held_back

HERE = "."  # hydra.sweep.dir where nobody chose one: then nothing is written there


def multirun(config: DictConfig, context: HydraContext, launcher: Any, arguments: list[str]) -> Any:
    """Runs the sweep itself, or job by job through a stock Hydra launcher when one was asked for."""
    overrides = OverridesParser.create(config_loader=context.config_loader).parse_overrides(arguments)
    endless = [
        override.input_line
        for override in overrides
        if override.is_sweep_override() and not override.is_discrete_sweep()
    ]
    if endless:
        raise InputError(f"{endless[0]} has no end; allowed are commas, choice(…), range(…) and glob(…)")
    axes = [override for override in overrides if override.is_sweep_override()]
    if config.hydra.sweep.dir != HERE:
        folder = Path(config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(config, folder / "multirun.yaml")
    if asked_for_launcher(config):
        fixed = [str(override.input_line) for override in overrides if not override.is_sweep_override()]
        return [_job_by_job(config, context, launcher, fixed, axes)]
    groups = [key for axis in axes if context.config_loader.get_group_options(key := axis.get_key_element())]
    if groups:
        raise InputError(
            f"{groups[0]} is a group of settings and cannot be an axis; sweep over values such as model.n, or run once "
            f"for each choice"
        )
    plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    OmegaConf.set_struct(plain, True)
    with held_back():
        from sweep.sweep import run_sweep

    return run_sweep(plain, {axis.get_key_element(): _values(axis) for axis in axes})


def _job_by_job(
    config: DictConfig, context: HydraContext, launcher: Any, fixed: list[str], axes: list[Override]
) -> Sequence[JobReturn]:
    if config.design.name != "grid":
        raise InputError(
            f"design={config.design.name} makes its runs itself, and hydra/launcher=… runs one job a combination "
            f"of commas; leave hydra/launcher out"
        )
    along = {axis.get_key_element(): list(axis.sweep_string_iterator()) for axis in axes}
    jobs = [[*fixed, *(f"{key}={value}" for key, value in point.items())] for point in combinations(along)]
    for job in jobs:  # here, where the guard stands (sweep/guard.py), and before any of them is started
        context.config_loader.load_sweep_config(config, job)
    done = launcher.launch(jobs, initial_job_idx=0)
    refused = [value for job in done if (value := job.return_value) is not None]
    if refused:
        raise InputError(f"{len(refused)} of {len(jobs)} jobs; the first: {refused[0]}")
    return done


def asked_for_launcher(config: DictConfig) -> bool:
    """True where the command line names one: hydra/launcher=…"""
    return any(str(line).startswith("hydra/launcher=") for line in config.hydra.overrides.hydra)


def single(config: DictConfig) -> None:
    """`python -m sweep` without -m, or one job of a stock launcher: the design's axes apply only to the former."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    with held_back():
        from sweep.sweep import run_sweep

    config = config.copy()
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        with open_dict(config):
            config.design.axes, config.design.target = None, None
    run_sweep(config, {})


def _values(axis: Override) -> list[Any]:
    return [_plain(value) for value in axis.sweep_iterator(transformer=lambda value: value)]


def _plain(value: Any) -> Any:
    """Quoted strings and config-group choices come as objects of Hydra's parser."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, (bool, int, float)) else str(getattr(value, "text", value))
