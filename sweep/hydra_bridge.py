"""What `-m` means: commas become axes of the design, and the whole sweep is composed once and handed over."""

from __future__ import annotations

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from fitting.errors import InputError
from sweep.designs.grid import combinations

STOCK_DEFAULT = "basic"  # Hydra's own launcher choice when none was asked for


def multirun(config: DictConfig, context: HydraContext, launcher: Any, arguments: list[str]) -> Any:
    """Runs the sweep itself, or job by job through a stock Hydra launcher when one was asked for."""
    overrides = OverridesParser.create(config_loader=context.config_loader).parse_overrides(arguments)
    axes = {}
    for override in overrides:
        if override.is_sweep_override():
            axes[override.get_key_element()] = _values(override)
    if asked_for_launcher(config):
        if config.design.name != "grid":
            raise InputError(
                f"design={config.design.name} makes its runs itself, and hydra/launcher=… runs one job a combination "
                f"of commas; leave hydra/launcher out"
            )
        fixed = [override.input_line for override in overrides if not override.is_sweep_override()]
        jobs = [[*fixed, *(f"{key}={value}" for key, value in point.items())] for point in combinations(axes)]
        return [launcher.launch(jobs, initial_job_idx=0)]
    groups = [key for key in axes if context.config_loader.get_group_options(key)]
    if groups:
        raise InputError(
            f"{groups[0]} is a group of settings and cannot be an axis; sweep over values such as model.n, or run once "
            f"for each choice"
        )
    plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    OmegaConf.set_struct(plain, True)
    from sweep.sweep import run_sweep

    return run_sweep(plain, axes)


def asked_for_launcher(config: DictConfig) -> bool:
    """True where the command line names one: hydra/launcher=…"""
    return any(str(line).startswith("hydra/launcher=") for line in config.hydra.overrides.hydra)


def single(config: DictConfig) -> None:
    """`python -m sweep` without -m, or one job of a stock launcher: the design's axes apply only to the former."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from sweep.sweep import run_sweep

    config = config.copy()
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        with open_dict(config):
            config.design.axes, config.design.target = None, None
    run_sweep(config, {})


def _values(override: Override) -> list[Any]:
    values = [value for value in override.sweep_iterator(transformer=lambda value: value)]
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """Quoted strings and config-group choices come as objects of Hydra's parser."""
    return value if value is None or isinstance(value, (bool, int, float)) else str(getattr(value, "text", value))
