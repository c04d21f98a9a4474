"""What is left of a run? One flat row: spec, counts, losses, status with its sentence, speed, provenance."""

from __future__ import annotations

import dataclasses
import enum
import typing
from dataclasses import dataclass

SCHEMA_VERSION = 2


class RunStatus(enum.StrEnum):
    """How a run stands; the record's sentence says why."""

    RUNNING = "running"
    DONE = "done"
    INTERRUPTED = "interrupted"  # stopped from outside; the same command carries on from its checkpoint
    DIVERGED = "diverged"  # the loss or a gradient was not finite
    FAILED = "failed"  # the program raised or the process died


FIT = "fit"  # role of a run that is a point of the law
TARGET = "target"  # held out, forecast before it was trained
CHECK = "check"  # of the recipe, such as another learning rate: it never enters a law
SETTLED = (RunStatus.DONE, RunStatus.DIVERGED)  # never trained again


@dataclass(frozen=True)
class RunRecord:
    """Columns of the store. Counts that can pass 2^53 or enter products are float64. None: not known (yet)."""

    # identity
    run_id: str  # hash of the canonical JSON of the spec
    sweep: str  # name of the sweep that asked for it first
    role: str  # FIT, TARGET or CHECK
    status: str  # RunStatus
    sentence: str  # why the status is what it is
    attempt: int  # 1 for the first process that worked on it
    # what was asked for
    spec_json: str
    width: int
    depth: int
    heads: int
    mlp_width: int
    vocab_size: int
    sequence: int  # tokens
    batch_tokens: int  # tokens per step
    steps: int
    optimiser: str
    learning_rate: float  # peak, at width 64
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float  # decoupled, once decay_tokens tokens are seen
    decay_tokens: float
    decay_exponent: float  # the decay falls as tokens seen to the -decay_exponent
    clip_norm: float
    schedule: str
    warmup_steps: int
    decay_fraction: float  # of the steps, wsd only
    seed: int
    precision: str
    mlp: str
    kv_heads: int
    experts: int
    parametrisation: str
    # data
    corpus: str
    corpus_fingerprint: str
    tokenizer: str
    unique_tokens: float  # tokens in the training split
    epochs: float  # d_tokens / unique_tokens
    eval_tokens: int  # targets of the fixed held-out set
    eval_bytes: int  # raw bytes that those targets stand for
    # the three N, D, both C
    n_params: float  # all parameters, embeddings too
    n_params_non_embedding: float  # no input embedding, no head
    n_params_active: float  # non-embedding ones that one token meets (experts)
    n_params_flops: float  # exact forward FLOPs per token / 2
    d_tokens: float
    flops: float  # exact training FLOPs: attention (causal half) and head included
    flops_6nd: float  # 6 x n_params_active x d_tokens (Kaplan et al. 2020)
    # outcome
    loss: float | None = None  # nats per token on the fixed held-out set
    loss_se: float | None = None  # standard error over its windows
    bpb: float | None = None  # bits per byte of the same text
    train_loss: float | None = None  # mean of the last logged training losses, nats per token
    prequential_bits: float | None = (
        None  # code length of the training stream's first epoch, each batch before its step
    )
    prequential_bytes: float | None = None  # raw, of the same tokens; None where the vocabulary is unknown
    last_step: int = 0
    spikes: int = 0  # rows of the curve whose loss stood far above the rows before
    skipped_steps: int = 0  # whose gradient was not finite and that changed nothing
    # sharing: a run that parts from another's state (its trunk) trains only its own steps
    trunk: str | None = None  # run whose first steps it shares
    branch_step: int = 0  # how many of them
    flops_spent: float | None = None  # exact training FLOPs of its own steps; `flops` is what the point costs alone
    packed: int = 1  # runs that shared its program at the start
    # speed
    seconds: float | None = None  # in its own training steps, all attempts, each attempt's first dispatch left out
    compile_seconds: float | None = None  # first dispatch, this attempt
    eval_seconds: float | None = None  # of all evaluations
    eval_flops: float | None = None  # exact forward FLOPs of all evaluations; no part of `flops`
    tokens_per_second: float | None = None
    flops_per_second: float | None = None  # exact training FLOPs / seconds
    mfu: float | None = None  # exact training FLOP/s / dense bf16 peak of the devices; None where unknown (CPU)
    peak_bytes: float | None = None  # of device memory, where the device tells
    # provenance
    started_at: float | None = None  # seconds since 1970 (UTC), first attempt
    finished_at: float | None = None
    host: str = ""
    pid: int | None = None  # of the process that works on it while status is running
    device: str = ""
    devices: int = 1  # that worked on it together
    processes: int = 1
    mesh: str = "1x1x1"  # data x fsdp x tensor
    accumulation: int = 1  # micro-batches a step
    remat: str = "none"
    cpu_threads: int | None = None
    launcher: str = ""
    python_version: str = ""
    jax_version: str = ""
    isoflop_version: str = ""
    git_commit: str | None = None

    def replace(self, **changes: typing.Any) -> RunRecord:
        return dataclasses.replace(self, **changes)


def record_fields() -> dict[str, type]:
    """Column name -> Python type (str, int or float), None stripped."""
    hints = typing.get_type_hints(RunRecord)
    plain = {}
    for field in dataclasses.fields(RunRecord):
        options = [
            kind for kind in typing.get_args(hints[field.name]) or (hints[field.name],) if kind is not type(None)
        ]
        plain[field.name] = options[0]
    return plain
