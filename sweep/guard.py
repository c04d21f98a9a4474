"""May this configuration be used? It says values; one from elsewhere (--config-dir, experiment=…) must not run code.

Hydra would: it instantiates every _target_ below hydra.callbacks, hydra.launcher and hydra.sweeper, hands
hydra.job_logging to logging.config, which calls what its factories name, and sets environment variables for our
workers. All of these come out of ConfigLoaderImpl.load_configuration, for one run, for a sweep and for each job of a
stock launcher, before anything is made of them: Hydra.compose_config, one step later, has configured the logging
already. So that is where the guard stands. What is left runs nothing: YAML is read by OmegaConf's safe loader, and of
the resolvers (oc.env, now, hydra, …) only oc.create and oc.decode make settings out of text, which are looked through
like all others.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fitting.errors import InputError

HANDLERS = ("StreamHandler", "FileHandler", "NullHandler", "handlers.RotatingFileHandler")
# Exact names: logging.config follows dots into whatever a module imports, such as logging.os.system.
LOGGING = ("logging.Formatter", *(f"logging.{name}" for name in HANDLERS), "colorlog.ColoredFormatter")
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
# Commands for a shell, what a worker imports, and from where: the user may say them, a file may not.
TYPED = ("hydra.job.env_set", "hydra.job.chdir", "hydra.launcher.setup", "hydra.launcher.additional_parameters")
TYPED += ("launcher.setup", "launcher.address")  # the latter is a cluster whose answers are unpickled
# Options of sbatch that a file may set; others, such as export or chdir, decide what a job imports.
SBATCH = {"partition", "account", "qos", "constraint", "gres", "nodelist", "exclude", "reservation", "comment", "mem"}
SBATCH |= {"time", "licenses", "priority", "mail_type", "mail_user", "cpus_per_task", "exclusive", "nice"}
OURS = ("pkg://conf", "pkg://hydra.conf")
DEEPEST = 40  # levels of a configuration; references can go round in a circle

_FROM_A_FILE = "hydra.searchpath in main"  # what Hydra calls a search path that nobody typed


def stand_guard() -> None:
    """Once a process, before Hydra composes anything. Refusals are InputErrors."""
    load, append = ConfigLoaderImpl.load_configuration, ConfigSearchPathImpl.append

    @functools.wraps(load)
    def guarded_load(self: ConfigLoaderImpl, config_name: str | None, overrides: list[str], *args: Any, **more: Any):
        config = load(self, config_name, overrides, *args, **more)
        check(config, overrides)
        return config

    @functools.wraps(append)
    def guarded_append(self: ConfigSearchPathImpl, provider: str, path: str, *args: Any, **more: Any) -> None:
        if provider == _FROM_A_FILE:
            check_search_path(path)
        append(self, provider, path, *args, **more)

    loader: Any = ConfigLoaderImpl
    search_path: Any = ConfigSearchPathImpl
    if not hasattr(load, "__wrapped__"):
        loader.load_configuration, search_path.append = guarded_load, guarded_append


def check(config: DictConfig, overrides: Sequence[str]) -> None:
    """Raises InputError naming the first setting that would run code. overrides: what was typed."""
    for key in TYPED:
        value = OmegaConf.select(config, key, throw_on_resolution_failure=False)
        if not isinstance(value, DictConfig):
            if value:
                _require_typed(key, "", value, overrides)
            continue
        copied = OmegaConf.select(config, "hydra.job.env_copy") if key == "hydra.job.env_set" else []
        for name in [str(name) for name in value if name not in copied]:
            _require_typed(f"{key}.{name}", name, value[name], overrides)
    options = OmegaConf.select(config, "launcher.sbatch", throw_on_resolution_failure=False)
    for name, value in options.items() if isinstance(options, DictConfig) else ():
        if str(name).replace("-", "_") not in SBATCH or "\n" in str(value):
            _require_typed(f"launcher.sbatch.{name}", str(name), value, overrides)
    for path, name, value in _settings(config, "", 0):
        key = f"{path}{name}"
        if name == "_target_" and value not in _plugins():
            raise InputError(
                f"{key} is {_shown(value)}, which would run code; allowed are {', '.join(_plugins())}. Take it out of "
                f"the configuration"
            )
        if key.startswith(("hydra.job_logging.", "hydra.hydra_logging.")):
            _check_logging(key, name, value)


def _require_typed(key: str, name: str, value: Any, overrides: Sequence[str]) -> None:
    """Typed as it is, or by its name within what was typed for the setting above it."""
    for line in overrides:
        typed, _, text = line.lstrip("+~").partition("=")
        if typed == key or (name and typed == key.rpartition(".")[0] and name in text):
            return
    raise InputError(
        f"{key} is {_shown(value)} in a configuration file, which could run code; allowed is to type it: add '{key}=…' "
        f"to the command, or take it out of the file"
    )


def check_search_path(path: str) -> None:
    """Raises InputError for what Hydra would import to look for files in it."""
    if "://" in path and not path.startswith("file://") and path not in OURS:
        raise InputError(
            f"hydra.searchpath holds {path!r} in a configuration file, which would import it; allowed are folders. "
            f"Give a folder, or type 'hydra.searchpath=[{path}]'"
        )


def _check_logging(key: str, name: str, value: Any) -> None:
    if name in ("class", "()") and value not in LOGGING:
        raise InputError(
            f"{key} is {_shown(value)}, which would run code; allowed are {', '.join(LOGGING)}. Choose one, or "
            f"hydra/job_logging=none"
        )
    if isinstance(value, str) and "ext:" in value and value not in STREAMS:
        raise InputError(f"{key} is {value!r}, which would import code; allowed are {', '.join(STREAMS)}")


@functools.cache
def _plugins() -> tuple[str, ...]:
    """Exact names: instantiate follows dots into whatever a module of a plugin imports."""
    found = [*Plugins.instance().discover(Launcher), *Plugins.instance().discover(Sweeper)]
    return tuple(sorted(f"{plugin.__module__}.{plugin.__qualname__}" for plugin in found))


def _settings(node: DictConfig | ListConfig, path: str, depth: int) -> Iterator[tuple[str, str, Any]]:
    """(path, name, value) of every setting, references followed; _target_ and class as they are written."""
    if depth > DEEPEST:
        raise InputError(f"{path[:80]} goes deeper than {DEEPEST} levels, or round in a circle; take it out")
    written: Any = OmegaConf.to_container(node, resolve=False)
    names: list[Any] = list(node) if isinstance(node, DictConfig) else list(range(len(node)))
    for name in names:
        if OmegaConf.is_missing(node, name):
            continue
        if OmegaConf.is_interpolation(node, name):
            yield path, str(name), written[name]
        value = _followed(node, name, f"{path}{name}", str(written[name]))
        if isinstance(value, (dict, list)):
            value = OmegaConf.create(value)  # what oc.decode makes
        if isinstance(value, (DictConfig, ListConfig)):
            yield from _settings(value, f"{path}{name}.", depth + 1)
        elif value is not None:
            yield path, str(name), value


def _followed(node: DictConfig | ListConfig, name: Any, key: str, written: str) -> Any:
    """None where a reference leads nowhere yet, such as to the number of a job: to a setting that is seen itself."""
    try:
        return node[name]
    except (OmegaConfBaseException, RecursionError):
        if "oc.create" in written or "oc.decode" in written:
            raise InputError(
                f"{key} is {_shown(written)}, which makes settings that cannot be looked at; write them out"
            ) from None
        return None


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)[:80]
