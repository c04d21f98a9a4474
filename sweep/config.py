"""From a composed configuration to typed settings: every value is checked here, once, with its field named."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from fitting.errors import InputError
from fitting.laws import law_named, law_names
from models import Architecture, architecture_near
from models.architecture import MLPS, PARAMETRISATIONS
from models.decoder import REMATERIALISATIONS
from results.store import check_name
from sweep.data.config import data_settings, data_spec
from sweep.data.manifest import CorpusInfo
from sweep.data.settings import DataSettings
from sweep.designs.limits import Limits
from sweep.evaluation import check_task_name
from sweep.launchers.settings import LauncherSettings, launcher_settings
from sweep.optimiser import KINDS as OPTIMISERS
from sweep.reader import Reader
from sweep.recipe import at_horizon
from sweep.schedule import KINDS
from sweep.spec import OptimiserSpec, RunSpec, ScheduleSpec
from sweep.train import PRECISIONS
from sweep.values import Values

TOKENS_PER_PARAM = 20.0  # Hoffmann et al. 2022, where neither D nor D/N is given
AVERAGE = "auto"  # the average of laws, as --law calls it
EVERY_LAW = "all"  # the average, and every law of the loss over N and D
LARGEST_TOKENS = 1e15  # tokens; public runs end at 4e13
LARGEST_STEPS = 2**31 - 1  # the optimiser counts steps in int32


@dataclass(frozen=True)
class MeshWishes:
    """What was asked of the mesh; None is to be found out."""

    data: int | None
    fsdp: int | None
    tensor: int | None
    accumulation: int | None
    remat: str | None
    memory: float | None  # bytes of one device


@dataclass(frozen=True)
class ForecastSettings:
    """What is sealed for each target: every law from every set of runs."""

    spans: tuple[float, ...]  # besides all runs, those of at most target FLOPs / span
    laws: tuple[str, ...] | None  # None: the average, and the law that predicts the largest runs best


@dataclass(frozen=True)
class SweepSettings:
    """What concerns the sweep as a whole."""

    name: str
    store: str
    report: str | None
    data: DataSettings
    design: str
    axes: Mapping[str, list[Any]]  # that every run of the design is repeated for
    limits: Limits
    targets: tuple[Mapping[str, Any], ...]  # overrides of each run that is held out
    forecasts: ForecastSettings
    launcher: LauncherSettings
    mesh: MeshWishes
    evaluations: int  # of one run
    tasks: tuple[str, ...]
    questions: int  # of each bundled task
    evaluation_cost: float  # share of a run's FLOPs
    dry_run: bool  # the table of runs alone; nothing is trained


def sweep_settings(config: DictConfig) -> SweepSettings:
    """Raises InputError naming the first field that is wrong."""
    read = Reader(Values.of(config))
    axes = read.mapping("design.axes") or {}
    for key, values in axes.items():
        read.require_key(key)
        if not isinstance(values, list) or not values:
            raise InputError(f"design.axes[{key}] is {values!r}; allowed is a list of values, such as [1e5, 3e5]")
    return SweepSettings(
        name=check_name("name", read.text("name")),
        store=read.text("store"),
        report=read.optional_text("report"),
        data=data_settings(read),
        design=read.text("design.name"),
        axes=axes,
        limits=_limits(read),
        targets=_targets(read),
        forecasts=_forecasts(read),
        launcher=launcher_settings(read),
        mesh=MeshWishes(
            data=read.optional_whole("mesh.data", 1, 2**20),
            fsdp=read.optional_whole("mesh.fsdp", 1, 2**20),
            tensor=read.optional_whole("mesh.tensor", 1, 2**20),
            accumulation=read.optional_whole("mesh.accumulation", 1, 2**20),
            remat=read.optional_choice("mesh.remat", REMATERIALISATIONS),
            memory=read.optional_number("mesh.memory", 1e6, 1e15),
        ),
        evaluations=read.whole("evaluation.times", 1, 60),
        tasks=_tasks(read),
        questions=read.whole("evaluation.questions", 1, 100_000),
        evaluation_cost=read.number("evaluation.cost", 0.0, 1e6),
        dry_run=read.boolean("dry_run"),
    )


def _limits(read: Reader) -> Limits:
    bounds = None
    if read.raw("design.tokens_per_param") is not None:
        bounds = read.numbers("design.tokens_per_param", 0.0, 1e12)
        if len(bounds) != 2 or bounds[0] > bounds[1]:
            raise InputError(f"design.tokens_per_param is {bounds}; allowed are two numbers, such as [1, 500]")
    return Limits(
        max_run_flops=read.optional_number("design.max_run_flops", 1.0, 1e30),
        max_flops=read.optional_number("design.max_flops", 1.0, 1e32),
        tokens_per_param=(bounds[0], bounds[1]) if bounds else None,
    )


def _targets(read: Reader) -> tuple[Mapping[str, Any], ...]:
    """One mapping, or a list of them."""
    value = read.raw("design.target")
    if value is None:
        return ()
    found = value if isinstance(value, list) else [value]
    for target in found:
        if not isinstance(target, dict):
            raise InputError(
                f"design.target holds {str(target)[:60]!r}; allowed is a mapping, such as "
                f"{{model.n: 1e6, data.tokens: 2e7}}, or a list of mappings"
            )
        for key in target:
            read.require_key(str(key))
    return tuple({str(key): item for key, item in target.items()} for target in found)


def _forecasts(read: Reader) -> ForecastSettings:
    spans = () if read.raw("design.spans") is None else tuple(read.numbers("design.spans", 1.001, 1e9))
    return ForecastSettings(spans, _laws(read))


def _laws(read: Reader) -> tuple[str, ...] | None:
    value = read.raw("design.laws")
    if value is None:
        return None
    surfaces = [name for name in law_names() if law_named(name).surface]
    named = [str(name) for name in (value if isinstance(value, list) else [value])]
    for name in named:
        if name not in (EVERY_LAW, AVERAGE, *law_names()):
            raise InputError(
                f"design.laws holds {name[:60]!r}; allowed are {EVERY_LAW}, {AVERAGE} (the average of laws), "
                f"{', '.join(law_names())}"
            )
    chosen = [law for name in named for law in ((AVERAGE, *surfaces) if name == EVERY_LAW else (name,))]
    return tuple(dict.fromkeys(chosen))


def _tasks(read: Reader) -> tuple[str, ...]:
    names = tuple(path for _, path in read.paths("evaluation.tasks"))
    for name in names:
        check_task_name("evaluation.tasks", name)
    return names


def run_spec(values: Values, overrides: Mapping[str, Any], corpus: CorpusInfo) -> RunSpec:
    """One resolved run: the configuration with these values in place. Raises InputError or ArchitectureError."""
    read = Reader(with_overrides(values, overrides))
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
    return RunSpec(
        architecture=architecture,
        data=data_spec(read, corpus, sequence, batch, steps),
        optimiser=_optimiser(read, steps * batch * sequence),
        schedule=ScheduleSpec(
            kind=read.choice("schedule.kind", KINDS),
            warmup_steps=read.whole("schedule.warmup_steps", 0, LARGEST_STEPS),
            decay_fraction=read.number("schedule.decay_fraction", 0.0, 1.0),
        ),
        steps=steps,
        batch_sequences=batch,
        seed=read.whole("seed", 0, 2**31 - 1),
        precision=read.choice("precision", PRECISIONS),
    )


def _optimiser(read: Reader, tokens: int) -> OptimiserSpec:
    """The rule over the horizon is resolved here: a spec holds plain numbers."""
    reference = read.number("optimiser.horizon_tokens", 1.0, LARGEST_TOKENS)
    rate = read.number("optimiser.learning_rate", 1e-12, 1e6)
    return OptimiserSpec(
        kind=read.choice("optimiser.kind", OPTIMISERS),
        learning_rate=at_horizon(rate, reference, read.number("optimiser.rate_exponent", 0.0, 2.0), tokens),
        beta1=read.number("optimiser.beta1", 0.0, 0.999999),
        beta2=read.number("optimiser.beta2", 0.0, 0.9999999),
        epsilon=read.number("optimiser.epsilon", 1e-30, 1.0),
        weight_decay=read.number("optimiser.weight_decay", 0.0, 1e6),
        decay_tokens=read.number("optimiser.decay_tokens", 1.0, LARGEST_TOKENS),
        decay_exponent=read.number("optimiser.decay_exponent", 0.0, 2.0),
        clip_norm=read.number("optimiser.clip_norm", 1e-9, 1e9),
        z_loss=read.number("optimiser.z_loss", 0.0, 1.0),
    )


def with_overrides(values: Values, overrides: Mapping[str, Any]) -> Values:
    """These dotted keys set. Raises InputError for a key that does not exist."""
    for key in overrides:
        Reader(values).require_key(key)
    if "data.tokens_per_param" in overrides and "data.tokens" not in overrides:
        overrides = {**overrides, "data.tokens": None}  # an axis over D/N replaces a D from the file
    return values.having(overrides)


def _architecture(read: Reader, vocab_size: int) -> Architecture:
    names = ("width", "depth", "heads", "mlp_width")
    shape = {name: read.optional_whole(f"model.{name}", 1, 10**6) for name in names}
    given: dict[str, Any] = {name: value for name, value in shape.items() if value is not None}
    choices: dict[str, Any] = {
        "queries_per_key": read.whole("model.queries_per_key", 1, 1024),
        "mlp": read.choice("model.mlp", MLPS),
        "tied": read.boolean("model.tied"),
        "qk_norm": read.boolean("model.qk_norm"),
        "experts": read.whole("model.experts", 1, 4096),
        "experts_per_token": read.whole("model.experts_per_token", 1, 4096),
        "parametrisation": read.choice("model.parametrisation", PARAMETRISATIONS),
    }
    if not given:
        return _nearest(read.whole("model.n", 2_000, 2 * 10**12), vocab_size, tuple(choices.items()))
    if len(given) < len(names):
        missing = ", ".join(f"model.{name}" for name in names if name not in given)
        raise InputError(f"model: {missing} not set beside {sorted(given)}; give all four dimensions, or model.n alone")
    return Architecture(vocab_size=vocab_size, **given, **choices)


@functools.lru_cache(4096)
def _nearest(n: int, vocab_size: int, choices: tuple[tuple[str, Any], ...]) -> Architecture:
    """A grid asks for few sizes, each many times."""
    return architecture_near(n, vocab_size, **dict(choices))


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
