"""From a composed configuration to typed settings: every value is checked here, once, with its field named."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fitting.errors import InputError
from models import Architecture, architecture_near
from results.store import check_name
from sweep.data.corpus import CorpusInfo
from sweep.data.prepare import DataSettings
from sweep.recipe import at_horizon
from sweep.schedule import KINDS
from sweep.spec import DataSpec, OptimiserSpec, RunSpec, ScheduleSpec

TOKENS_PER_PARAM = 20.0  # Hoffmann et al. 2022, where neither D nor D/N is given
LARGEST_TOKENS = 1e15  # tokens; public runs end at 4e13
LARGEST_STEPS = 2**31 - 1  # the optimiser counts steps in int32


@dataclass(frozen=True)
class SweepSettings:
    """What concerns the sweep as a whole."""

    name: str
    store: str
    report: str | None
    data: DataSettings
    axes: Mapping[str, list[Any]]  # of the design
    max_flops: float | None
    target: Mapping[str, Any] | None  # overrides of the run that is held out
    workers: int | None
    checkpoint_seconds: float


def sweep_settings(config: DictConfig) -> SweepSettings:
    """Raises InputError naming the first field that is wrong."""
    read = Reader(config)
    if read.text("design.name") != "grid":
        raise InputError(f"design.name is {read.text('design.name')!r}; allowed is grid")
    if read.text("launcher.name") != "local":
        raise InputError(f"launcher.name is {read.text('launcher.name')!r}; allowed is local")
    axes = read.mapping("design.axes") or {}
    for key, values in axes.items():
        read.require_key(key)
        if not isinstance(values, list) or not values:
            raise InputError(f"design.axes[{key}] is {values!r}; allowed is a list of values, such as [1e5, 3e5]")
    target = read.mapping("design.target")
    for key in target or {}:
        read.require_key(key)
    return SweepSettings(
        name=check_name("name", read.text("name")),
        store=read.text("store"),
        report=read.optional_text("report"),
        data=DataSettings(
            source=read.text("data.source"),
            path=read.optional_text("data.path"),
            tokenizer=read.text("data.tokenizer"),
            vocab_size=read.whole("data.vocab_size", 2, 2**20),
        ),
        axes=axes,
        max_flops=read.optional_number("design.max_flops", 1.0, 1e30),
        target=target,
        workers=read.optional_whole("launcher.workers", 1, 1024),
        checkpoint_seconds=read.number("launcher.checkpoint_seconds", 0.0, 1e6),
    )


def run_spec(config: DictConfig, overrides: Mapping[str, Any], corpus: CorpusInfo) -> RunSpec:
    """One resolved run: the configuration with these values in place. Raises InputError or ArchitectureError."""
    read = Reader(with_values(config, overrides))
    sequence = read.whole("data.sequence", 2, 1_000_000)
    batch = read.whole("optimiser.batch_sequences", 1, 1_000_000)
    architecture = _architecture(read, corpus.vocab_size)
    tokens = _tokens(read, architecture)
    steps = max(1, round(tokens / (batch * sequence)))
    if steps > LARGEST_STEPS:
        raise InputError(
            f"data.tokens is {tokens:g}, which makes {steps:g} steps of {batch * sequence} tokens; allowed are "
            f"{LARGEST_STEPS:g} steps. Raise optimiser.batch_sequences"
        )
    kind = read.text("schedule.kind")
    if kind not in KINDS:
        raise InputError(f"schedule.kind is {kind!r}; allowed are {', '.join(KINDS)}")
    return RunSpec(
        architecture=architecture,
        data=DataSpec(
            corpus=corpus.source,
            fingerprint=corpus.fingerprint,
            sequence=sequence,
            eval_tokens=read.whole("data.eval_tokens", sequence, 10**12),
            seed=read.whole("data.seed", 0, 2**31 - 1),
        ),
        optimiser=_optimiser(read, steps * batch * sequence),
        schedule=ScheduleSpec(
            kind=kind,
            warmup_fraction=read.number("schedule.warmup_fraction", 0.0, 1.0),
            decay_fraction=read.number("schedule.decay_fraction", 0.0, 1.0),
        ),
        steps=steps,
        batch_sequences=batch,
        seed=read.whole("seed", 0, 2**31 - 1),
    )


def _optimiser(read: Reader, tokens: int) -> OptimiserSpec:
    """The rules over the horizon are resolved here: a spec holds plain numbers."""
    reference = read.number("optimiser.horizon_tokens", 1.0, LARGEST_TOKENS)
    rate = read.number("optimiser.learning_rate", 1e-12, 1e6)
    decay = read.number("optimiser.weight_decay", 0.0, 1e6)
    return OptimiserSpec(
        learning_rate=at_horizon(rate, reference, read.number("optimiser.rate_exponent", 0.0, 2.0), tokens),
        beta1=read.number("optimiser.beta1", 0.0, 0.999999),
        beta2=read.number("optimiser.beta2", 0.0, 0.9999999),
        epsilon=read.number("optimiser.epsilon", 1e-30, 1.0),
        weight_decay=at_horizon(decay, reference, read.number("optimiser.decay_exponent", 0.0, 2.0), tokens),
        clip_norm=read.number("optimiser.clip_norm", 1e-9, 1e9),
    )


def with_values(config: DictConfig, overrides: Mapping[str, Any]) -> DictConfig:
    """A copy with the dotted keys set. Raises InputError for a key that does not exist."""
    changed = config.copy()
    for key, value in overrides.items():
        Reader(changed).require_key(key)
        OmegaConf.update(changed, key, value)
    if {"data.tokens", "data.tokens_per_param"} & set(overrides) and "data.tokens" not in overrides:
        changed.data.tokens = None  # an axis over D/N replaces a D from the file
    return changed


def _architecture(read: Reader, vocab_size: int) -> Architecture:
    names = ("width", "depth", "heads", "mlp_width")
    shape = {name: read.optional_whole(f"model.{name}", 1, 10**6) for name in names}
    given = {name: value for name, value in shape.items() if value is not None}
    if not given:
        return architecture_near(read.whole("model.n", 2_000, 2 * 10**12), vocab_size)
    if len(given) < len(names):
        missing = ", ".join(f"model.{name}" for name in names if name not in given)
        raise InputError(f"model: {missing} not set beside {sorted(given)}; give all four dimensions, or model.n alone")
    return Architecture(vocab_size=vocab_size, **given)


def _tokens(read: Reader, architecture: Architecture) -> float:
    tokens = read.optional_number("data.tokens", 1.0, LARGEST_TOKENS)
    ratio = read.optional_number("data.tokens_per_param", 1e-6, 1e9)
    if tokens is not None and ratio is not None:
        raise InputError(
            f"data.tokens is {tokens:g} and data.tokens_per_param is {ratio:g}; allowed is one of them. Set the other "
            f"to null"
        )
    if tokens is not None:
        return tokens
    return (ratio or TOKENS_PER_PARAM) * architecture.count(context=1).non_embedding


class Reader:
    """Typed reads of dotted keys."""

    def __init__(self, config: DictConfig):
        self.config = config

    def require_key(self, key: str) -> None:
        keys = _leaf_keys(OmegaConf.to_container(self.config, resolve=False))
        if key not in keys:
            close = difflib.get_close_matches(key, keys, n=3)
            group = sorted(name for name in keys if name.split(".")[0] == key.split(".")[0]) or sorted(keys)
            hint = f"did you mean {' or '.join(close)}?" if close else f"choose one of {', '.join(group)}"
            raise InputError(f"{key} is not a setting; {hint}")

    def raw(self, key: str) -> Any:
        try:
            return OmegaConf.select(self.config, key, throw_on_missing=True)
        except OmegaConfBaseException as error:
            raise InputError(f"{key} cannot be read: {str(error).splitlines()[0]}") from None

    def text(self, key: str) -> str:
        value = self.raw(key)
        if value is None or isinstance(value, (DictConfig, list)) or str(value) == "":
            raise InputError(f"{key} is {value!r}; allowed is a text")
        return str(value)

    def optional_text(self, key: str) -> str | None:
        return None if self.raw(key) is None else self.text(key)

    def number(self, key: str, low: float, high: float) -> float:
        value = self.raw(key)
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not low <= number <= high:
            raise InputError(f"{key} is {_shown(value)}; allowed is a number from {low:g} to {high:g}")
        return number

    def whole(self, key: str, low: int, high: int) -> int:
        """Floats that are whole are accepted (1e6), others are refused."""
        value = self.raw(key)
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not (low <= number <= high and number == math.floor(number)):
            raise InputError(
                f"{key} is {_shown(value)}; allowed is a whole number from {low:g} to {high:g}, such as 1e6"
            )
        return int(number)

    def optional_number(self, key: str, low: float, high: float) -> float | None:
        return None if self.raw(key) is None else self.number(key, low, high)

    def optional_whole(self, key: str, low: int, high: int) -> int | None:
        return None if self.raw(key) is None else self.whole(key, low, high)

    def mapping(self, key: str) -> dict[str, Any] | None:
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, DictConfig):
            raise InputError(f"{key} is {_shown(value)}; allowed is a mapping, such as {{model.n: 1e6}}")
        plain = OmegaConf.to_container(value, resolve=True)
        assert isinstance(plain, dict)
        return {str(name): item for name, item in plain.items()}


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)[:80]


def _leaf_keys(tree: Any, prefix: str = "") -> list[str]:
    keys = []
    for name, value in tree.items():
        if isinstance(value, dict) and prefix + str(name) not in ("design.axes", "design.target"):
            keys += _leaf_keys(value, f"{prefix}{name}.")
        else:
            keys.append(f"{prefix}{name}")
    return keys
