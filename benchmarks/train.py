"""Training speed beside others' trainers, in one go. Prints docs/speed.md's first tables.

    python benchmarks/train.py                                       # ours alone
    python benchmarks/train.py --peer "nanoGPT=NANOGPT=… /path/to/python bench_nanogpt.py {shape}" --peer "NanoDO=…"

A peer's command is run with {shape} replaced by S or M and has to print "… 12,345 tokens/s …", and, if it knows, "…
start-to-first-step 1.23 s wall …". Rounds alternate between programs, so that a slow minute of the machine hits all of
them. Speeds are medians over the rounds; "ours / it" is the median of the ratios within the rounds, with the smallest
and the largest: on a machine that others share, speeds wander more than their ratios do.

Shapes: S = width 64, 2 layers, 2 heads, vocabulary 256, sequence 128, batch 32 (98k non-embedding parameters); M =
width 128, 5 layers, 4 heads, vocabulary 1024, sequence 128, batch 16 (983k). float32, 2 threads. FLOPs a token, for
every program alike: 6 (12 L d^2 + V d) + 12 L T d.

    python benchmarks/train.py --shapes L        # on an accelerator: tokens/s and MFU

L = width 1024, 28 layers, 16 heads, vocabulary 50304, sequence 2048, batch 16 (352M non-embedding parameters, 455M with
the untied embedding and head), bfloat16, on the first device that JAX finds. MFU: the FLOPs above over the device's
dense bf16 peak, and with attention's causal half alone in brackets, as models/ counts it.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from turns import spread

from sweep.worker import CPU_MALLOC

THREADS = 2
SECONDS = 8.0  # of measuring in one round


@dataclasses.dataclass(frozen=True)
class Shape:
    width: int
    layers: int
    heads: int
    vocabulary: int
    sequence: int
    batch: int
    precision: str = "float32"
    threads: int = THREADS  # 0: an accelerator

    @property
    def flops_per_token(self) -> float:
        matrices = 12 * self.layers * self.width**2 + self.vocabulary * self.width
        return 6 * matrices + 12 * self.layers * self.sequence * self.width


SHAPES = {"S": Shape(64, 2, 2, 256, 128, 32), "M": Shape(128, 5, 4, 1024, 128, 16)}
SHAPES["L"] = Shape(1024, 28, 16, 50_304, 2048, 16, "bfloat16", threads=0)
OURS = {
    "isoflop (default decoder)": [],
    "isoflop (GELU, tied head, as GPT-2)": ["--mlp", "gelu", "--tied"],
}


@dataclasses.dataclass(frozen=True)
class Reading:
    tokens_per_second: float
    first_step_seconds: float | None
    told: str  # what else the program says of its speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shapes", default="S,M")
    parser.add_argument("--child", metavar="SHAPE", help=argparse.SUPPRESS)
    parser.add_argument("--mlp", default="squared_relu", help=argparse.SUPPRESS)
    parser.add_argument("--tied", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(SHAPES[options.child], options.mlp, options.tied)
        return
    ours = ["env", f"GLIBC_TUNABLES={CPU_MALLOC}", sys.executable, __file__]  # as the launcher starts its workers
    commands = {name: [*ours, *extra, "--child", "{shape}"] for name, extra in OURS.items()}
    commands |= {name: ["bash", "-c", command] for name, command in (peer.split("=", 1) for peer in options.peer)}
    for shape in options.shapes.split(","):
        readings: dict[str, list[Reading]] = {name: [] for name in commands}
        for index in range(options.rounds + 1):  # the first round warms caches up and is not counted
            for name, command in commands.items():
                reading = run([part.replace("{shape}", shape) for part in command])
                print(f"{shape} round {index} {name}: {reading}", file=sys.stderr, flush=True)
                if index:
                    readings[name].append(reading)
        print(table(shape, readings), flush=True)


def run(command: list[str]) -> Reading:
    environment = {**os.environ, "THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    speed = re.search(r"([\d,]+) tokens/s(.*)", done.stdout)
    if speed is None:
        raise SystemExit(f"{' '.join(command)} printed no tokens/s:\n{done.stdout}{done.stderr[-2000:]}")
    first = re.search(r"start-to-first-step ([\d.]+) s wall", done.stdout)
    return Reading(float(speed.group(1).replace(",", "")), float(first.group(1)) if first else None, speed.group(2))


def table(shape: str, readings: dict[str, list[Reading]]) -> str:
    ours = [reading.tokens_per_second for reading in readings[next(iter(OURS))]]
    lines = [f"| {shape} | tokens/s | range | GFLOP/s | ours / it | start to first step |", "|---|---|---|---|---|---|"]
    for name, found in readings.items():
        speeds = [reading.tokens_per_second for reading in found]
        speed = statistics.median(speeds)
        ratios = [mine / its for mine, its in zip(ours, speeds, strict=True)]
        ratio = spread(ratios)
        firsts = [reading.first_step_seconds for reading in found if reading.first_step_seconds is not None]
        first = f"{statistics.median(firsts):.1f} s" if firsts else ""
        gigaflops = f"{speed * SHAPES[shape].flops_per_token / 1e9:.1f}"
        cells = [name, f"{speed:,.0f}", f"{min(speeds):,.0f} to {max(speeds):,.0f}", gigaflops, ratio, first]
        lines.append(f"| {' | '.join(cells)} |")
    mfu = [f"{name}: {found[-1].told.strip(', ')}" for name, found in readings.items() if "MFU" in found[-1].told]
    return "\n".join([*lines, *(["", *mfu] if mfu else [])]) + "\n"


def measure(shape: Shape, mlp: str, tied: bool) -> None:
    """Ours: the program that the sweep runs, its batches, one device a core, losses read after every dispatch."""
    import numpy as np

    from fitting.cache import use_compile_cache
    from sweep.worker import CPU_FLAGS

    if shape.threads:
        os.environ["XLA_FLAGS"] = f"{CPU_FLAGS} --xla_force_host_platform_device_count={shape.threads}"
    use_compile_cache()
    import jax

    from fitting.chips import peak_flops
    from models import Architecture
    from sweep.config import MeshWishes
    from sweep.data.order import Order, chosen_windows
    from sweep.execute import longest_dispatch
    from sweep.layout import Layout
    from sweep.smallest import smallest_layout
    from sweep.spec import DataSpec, OptimiserSpec, RunSpec, ScheduleSpec
    from sweep.train import STEPS_PER_DISPATCH, pad_dispatch, program_for

    stream = np.random.default_rng(0).integers(0, shape.vocabulary, 2_000_000).astype(np.uint16)
    windows = [("random", (len(stream) - 1) // shape.sequence)]

    def batches(first_step: int, steps: int) -> np.ndarray:
        positions = np.arange(first_step * shape.batch, (first_step + steps) * shape.batch)
        chosen = chosen_windows(Order(0, shape.sequence), windows, positions, shape.batch)
        tokens = stream[(chosen * shape.sequence)[:, None] + np.arange(shape.sequence + 1)]
        return tokens.reshape(steps, shape.batch, -1)

    size = (shape.width, shape.layers, shape.heads, 4 * shape.width, shape.vocabulary)
    spec = RunSpec(
        architecture=Architecture(*size, mlp=mlp, tied=tied),
        data=DataSpec("random", "-", shape.sequence, shape.sequence, 0),
        optimiser=OptimiserSpec("adamw", 1e-3, 0.9, 0.95, 1e-10, 0.1, 1e6, 0.5, 1.0),
        schedule=ScheduleSpec("wsd", 100, 0.3),
        steps=10**6,
        batch_sequences=shape.batch,
        seed=0,
        precision=shape.precision,
    )
    open_ = MeshWishes(data=None, fsdp=None, tensor=None, accumulation=None, remat=None, memory=None)
    layout = smallest_layout(spec, open_, shape.threads, None) if shape.threads else Layout()  # as a sweep chooses it
    program = program_for(spec, layout)
    state = program.initial_state(0)
    rates = np.full(STEPS_PER_DISPATCH, 1e-3, np.float32)
    decays = np.full(STEPS_PER_DISPATCH, 0.1, np.float32)

    steps = longest_dispatch([spec], max(1, shape.threads))  # as many as a sweep takes

    def dispatch(index: int):
        nonlocal state
        tokens = pad_dispatch(batches(index * steps, steps))
        state, advanced = program.advance(state, tokens, rates, decays, steps)
        return advanced

    first = batches(0, 1).repeat(STEPS_PER_DISPATCH, axis=0)
    state, advanced = program.advance(state, first, rates, decays, 1)
    np.asarray(advanced.losses)
    print(f"isoflop: start-to-first-step {since_process_start():.2f} s wall", flush=True)
    pending, index, started = dispatch(0), 1, time.perf_counter()
    counted = 0
    while time.perf_counter() - started < SECONDS:
        following = dispatch(index)  # queued before the one before is read, as sweep/execute.py does
        np.asarray(pending.losses)
        pending, index, counted = following, index + 1, counted + 1
    took = time.perf_counter() - started
    speed = counted * steps * shape.batch * shape.sequence / took
    peak, told = peak_flops(jax.devices()[0].device_kind), ""
    if peak is not None:
        exact = spec.architecture.flops_per_token(shape.sequence)
        told = f", MFU {speed * shape.flops_per_token / peak:.1%} ({speed * exact / peak:.1%})"
    print(f"isoflop: {speed:,.0f} tokens/s{told} on {jax.devices()[0].device_kind}", flush=True)


def since_process_start() -> float:
    """Seconds, from the kernel's clock ticks."""
    start = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - start


if __name__ == "__main__":
    main()
