"""A sweep from its design to its report: specs, cost table, launch, sealed forecast, target, law."""

from __future__ import annotations

import dataclasses
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from fitting.cache import use_compile_cache
from fitting.errors import InputError
from results.context import context_use, no_context_used
from results.planned import write_plan
from results.points import fit_records
from results.record import CHECK, FIT, SETTLED, TARGET, RunRecord, RunStatus
from results.store import DEFAULT_STORE, Store
from sweep import launch
from sweep.config import SweepSettings, sweep_settings
from sweep.data.corpus import Corpus
from sweep.data.manifest import CorpusInfo
from sweep.data.prepare import prepare
from sweep.evaluation import check_tasks
from sweep.events import Finished
from sweep.expand import Expanded, expanded
from sweep.forecast import seal_forecasts
from sweep.launchers.local import available_cores
from sweep.plan import planned
from sweep.room import Room
from sweep.same_text import remember_text, require_same_text
from sweep.show import print_lint, print_outcome, print_plan
from sweep.show_forecasts import print_sealed
from sweep.spec import RunSpec
from sweep.trained import keep_vocabulary

POLL_SECONDS = 0.25
PLAIN_WIDTH = 110  # characters


def run_sweep(config: DictConfig, axes: Mapping[str, Sequence[Any]]) -> list[RunRecord]:
    """Trains what the store does not hold yet and prints what came out. Ctrl-C keeps everything done so far."""
    console = sweep_console()
    began = time.time()
    settings = sweep_settings(config)
    store = Store(settings.store)
    # Every value is tried on a stand-in corpus before the real one is prepared, so that a typo costs no minute.
    expanded(config, settings, axes, CorpusInfo.stand_in(settings.data.source, settings.data.vocab_size))
    if not settings.dry_run:
        store.require_writable()
    corpus = _corpus(console, settings)
    records, damaged = store.records()
    settled = {record.run_id for record in records if record.status in SETTLED}

    def room_for(count: int) -> Room:
        return Room(launch.launcher_for(settings, store, count), settings.mesh, settled)

    runs = expanded(config, settings, axes, corpus.info, room_for)
    specs, targets = list(runs.specs), list(runs.targets)
    for sentence in runs.left_out:
        console.print(sentence)
    everything = [*specs, *targets]
    for target in targets:
        room_for(len(targets)).require(target)
    _require_text(corpus, everything)
    check_tasks(settings.tasks, settings.questions, corpus, {spec.data.sequence for spec in everything})
    for file in damaged:
        console.print(f"left out: {file.path} cannot be read ({file.reason})", markup=False)
    require_same_text(store, settings.data, corpus.info, records)
    held = {record.run_id: record for record in records}
    missing = [spec for spec in everything if spec.run_id not in settled]
    launcher = launch.launcher_for(settings, store, len(specs))
    seconds = launch.seconds_of(specs, records, launcher)
    seconds += launch.seconds_of(targets, records, launcher, max(1, len(available_cores()) // (len(targets) or 1)))
    print_plan(console, specs, targets, held, seconds, launcher.slots, settings.launcher.price)
    if runs.for_a_law:
        print_lint(console, runs.fitted)
    if settings.dry_run:
        console.print("dry run: nothing is trained")
        return []
    keep_vocabulary(store, corpus)
    remember_text(store, settings.data, corpus.info)
    if missing:
        write_plan(store, planned(settings, runs, seconds, launcher.slots))
    use_compile_cache()  # for the fits of this process
    grid = launch.Phase("grid", FIT, [spec for spec in missing if spec not in targets], len(specs), runs.checks)
    finished = launch.train(console, store, settings, corpus, grid)
    unfinished = [spec for spec in grid.missing if not _is_settled(finished, spec)]
    if targets and unfinished:
        waits = "the target waits" if len(targets) == 1 else f"{len(targets)} targets wait"
        console.print(
            f"{waits}: {len(unfinished)} runs of the grid are not done, and forecasts are sealed once they are"
        )
    elif targets and finished is not None:
        last = launch.Phase("target", TARGET, [target for target in targets if target in missing], len(targets))
        _seal(console, store, settings, _grid_records(store, runs), last.missing)
        of_targets = launch.train(console, store, settings, corpus, last)
        finished = None if of_targets is None else {**finished, **of_targets}
    if finished is None:
        return []  # handed over: the same command reports once they are done
    grid_records = _grid_records(store, runs)
    of_targets = [record for spec in targets if (record := store.read(spec.run_id))]
    _report(console, store, settings, grid_records, of_targets, began, len(finished))
    for status, verb in ((RunStatus.FAILED, "failed"), (RunStatus.INTERRUPTED, "were interrupted")):
        if found := [event for event in finished.values() if event.status == status]:
            raise InputError(
                f"{len(found)} of {len(everything)} runs {verb}, the others are in the store; first: "
                f"{found[0].run_id}: {found[0].sentence}. Correct the cause and run the same command again"
            )
    return [*grid_records, *of_targets]


def _grid_records(store: Store, runs: Expanded) -> list[RunRecord]:
    """A run that checks the recipe here may be a point of another sweep's law."""
    found = [record for spec in runs.specs if (record := store.read(spec.run_id))]
    return [record.replace(role=CHECK) if record.run_id in runs.checks else record for record in found]


def _is_settled(finished: Mapping[str, Finished] | None, spec: RunSpec) -> bool:
    ended = (finished or {}).get(spec.run_id)
    return ended is not None and ended.status in SETTLED


def sweep_console() -> Console:
    """Wide enough for the tables where there is no terminal whose width counts."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH)


def _corpus(console: Console, settings: SweepSettings) -> Corpus:
    with console.status("corpus") as status:
        shown = ""

        def report(words: str, share: float) -> None:
            nonlocal shown
            status.update(f"corpus: {words} ({share:.0%})")
            if not console.is_terminal and words != shown:
                console.print(f"corpus: {words}")
            shown = words

        corpus = prepare(settings.data, report)
    info = corpus.info
    console.print(
        f"corpus {info.source} [{info.fingerprint}]: {info.documents} documents, {info.train_bytes / 1e6:.1f} MB = "
        f"{info.train_tokens / 1e6:.1f}M {info.tokenizer} tokens to train on; {info.held_out_bytes / 1e6:.1f} MB "
        f"held out{_left_out(info)}",
        highlight=False,
        markup=False,
    )
    return corpus


def _left_out(info: CorpusInfo) -> str:
    """Somebody who gave 1,000 files hears why fewer are there."""
    why = [f"{info.skipped:,} that are empty or no UTF-8 text"] if info.skipped else []
    why += [f"{info.duplicates:,} duplicates"] if info.duplicates else []
    return f"; left out: {' and '.join(why)}" if why else ""


def _require_text(corpus: Corpus, specs: Sequence[RunSpec]) -> None:
    """Refuses now what no worker could do; what runs have in common, whatever their seeds, is looked at once."""
    for tokens, sequence in {(spec.data.eval_tokens, spec.data.sequence) for spec in specs}:
        corpus.held_out(tokens, sequence)
    for order in {dataclasses.replace(spec.data.order, seed=0) for spec in specs}:
        for step, _ in order.curriculum or [(0, ())]:
            corpus.batches(order, step, 1, 1)


def _seal(
    console: Console, store: Store, settings: SweepSettings, grid: Sequence[RunRecord], targets: Sequence[RunSpec]
) -> None:
    """Of the targets that are not trained yet, all before any of them is."""
    if not targets:
        return
    with console.status("forecasts") as status:
        sealed = seal_forecasts(
            store, grid, targets, settings.forecasts, lambda words: status.update(f"forecasts: {words}")
        )
    for sentence in sealed.left_out:
        console.print(sentence, highlight=False, markup=False)
    print_sealed(console, sealed.forecasts)
    if sealed.forecasts and (warning := no_context_used(context_use(grid, store.all_measurements()))) is not None:
        console.print(f"beware: {warning}", highlight=False, markup=False)


def _report(
    console: Console,
    store: Store,
    settings: SweepSettings,
    grid: list[RunRecord],
    targets: list[RunRecord],
    began: float,
    trained: int,
) -> None:
    from fitting.record import fit_record

    fit = fit_records(grid, store.name)
    if fit is not None:
        store.write_text(f"fits/{settings.name}-{fit.points.digest}.json", json.dumps(fit_record(fit), indent=2) + "\n")
    target_ids = {record.run_id for record in targets}
    sealed, damaged = store.forecasts()
    for file in damaged:
        console.print(f"left out: {file.path} cannot be read ({file.reason})", markup=False)
    held = [forecast for forecast in sealed if forecast.run_id in target_ids]
    print_outcome(console, grid, targets, fit, held, time.time() - began, trained)
    if settings.report is not None:
        from results.report import write_report

        path = write_report(store, Path(settings.report), run_ids=[record.run_id for record in [*grid, *targets]])
        console.print(f"report: {path}")
    else:
        at = "" if settings.store == DEFAULT_STORE else f" --store {shlex.quote(settings.store)}"
        console.print(f"in pictures: python -m results dashboard{at}", highlight=False, markup=False, soft_wrap=True)
