"""Who ran what, on which machine, with which software: the first record of a run."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from results.record import RunRecord, RunStatus
from sweep.data.corpus import Corpus
from sweep.spec import RunSpec

if TYPE_CHECKING:
    from sweep.place import Place


def first_record(spec: RunSpec, place: Place, corpus: Corpus, prior: RunRecord | None) -> RunRecord:
    """Status running; the attempt and the start continue those of an earlier process."""
    import jax

    count = spec.architecture.count(spec.data.sequence)
    windows = corpus.held_out(spec.data.eval_tokens, spec.data.sequence).windows
    unique = spec.data.unique_tokens or corpus.info.train_tokens
    device = jax.devices()[0]
    return RunRecord(
        run_id=spec.run_id,
        sweep=prior.sweep if prior else place.sweep,
        role=prior.role if prior else place.role_of(spec.run_id),
        status=RunStatus.RUNNING,
        sentence=f"attempt {prior.attempt + 1} after: {prior.sentence}"[:500] if prior else "training",
        attempt=prior.attempt + 1 if prior else 1,
        spec_json=spec.canonical_json,
        width=spec.architecture.width,
        depth=spec.architecture.depth,
        heads=spec.architecture.heads,
        mlp_width=spec.architecture.mlp_width,
        vocab_size=spec.architecture.vocab_size,
        sequence=spec.data.sequence,
        batch_tokens=spec.batch_tokens,
        steps=spec.steps,
        optimiser=spec.optimiser.kind,
        learning_rate=spec.optimiser.learning_rate,
        beta1=spec.optimiser.beta1,
        beta2=spec.optimiser.beta2,
        epsilon=spec.optimiser.epsilon,
        weight_decay=spec.optimiser.weight_decay,
        decay_tokens=spec.optimiser.decay_tokens,
        decay_exponent=spec.optimiser.decay_exponent,
        clip_norm=spec.optimiser.clip_norm,
        schedule=spec.schedule.kind,
        warmup_steps=spec.schedule.warmup_steps,
        decay_fraction=spec.schedule.decay_fraction,
        seed=spec.seed,
        precision=spec.precision,
        mlp=spec.architecture.mlp,
        kv_heads=spec.architecture.groups,
        experts=spec.architecture.experts,
        parametrisation=spec.architecture.parametrisation,
        corpus=corpus.info.source,
        corpus_fingerprint=corpus.info.fingerprint,
        tokenizer=corpus.info.tokenizer,
        unique_tokens=float(unique),
        epochs=spec.d_tokens / unique,
        eval_tokens=windows[:, 1:].size,
        eval_bytes=corpus.raw_bytes(windows[:, 1:]),
        n_params=float(count.total),
        n_params_non_embedding=float(count.non_embedding),
        n_params_active=float(count.active),
        n_params_flops=count.flops,
        d_tokens=float(spec.d_tokens),
        flops=spec.flops,
        flops_6nd=6.0 * count.active * spec.d_tokens,
        started_at=prior.started_at if prior else time.time(),
        host=socket.gethostname(),
        pid=os.getpid(),
        device=device.device_kind,
        cpu_threads=_threads() if device.platform == "cpu" else None,
        launcher=place.launcher,
        devices=place.layout.devices,
        processes=jax.process_count(),
        mesh=f"{place.layout.data}x{place.layout.fsdp}x{place.layout.tensor}",
        accumulation=place.layout.accumulation,
        remat=place.layout.remat,
        python_version=platform.python_version(),
        jax_version=jax.__version__,
        isoflop_version=importlib.metadata.version("isoflop"),
        git_commit=_git_commit(),
    )


def _threads() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


@functools.cache
def _git_commit() -> str | None:
    """Commit of the checkout that this code runs from; None outside one."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
