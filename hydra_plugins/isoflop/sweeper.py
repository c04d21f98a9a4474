"""Hydra hands `-m` to this sweeper, which hands it to sweep/.

No `from __future__ import annotations` here: Hydra loads this file outside sys.modules, where dataclasses cannot
resolve annotations given as text.
"""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class SweeperConfig:
    """Nothing to set: the design group says which runs."""

    _target_: str = "hydra_plugins.isoflop.sweeper.IsoflopSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="isoflop", node=SweeperConfig, provider="isoflop")


class IsoflopSweeper(Sweeper):
    """Composes once and hands the whole sweep over."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from sweep.hydra_bridge import multirun

        assert self.config is not None  # Hydra calls setup first
        assert self.hydra_context is not None
        return multirun(self.config, self.hydra_context, self.launcher, arguments)
