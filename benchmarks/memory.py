"""Does the memory model say what XLA's own analysis of the compiled program says? Prints a table.

    python benchmarks/memory.py            # about 3 minutes: compiles for 8 CPU devices, trains nothing
    python benchmarks/memory.py --few      # those that the tests look at
    python benchmarks/memory.py --on h200  # for accelerators that are not here (targets.py), their larger cases too

Bytes of one device: arguments + outputs + temporaries - what outputs share with arguments. Attention: the kernel that
the compiled program holds, XLA's own where there is none.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
from dataclasses import dataclass, field

import jax
import numpy as np
from targets import TARGETS, compiling_for

from models import Architecture
from sweep.layout import Layout
from sweep.memory import predicted_bytes
from sweep.spec import OptimiserSpec
from sweep.train import STEPS_PER_DISPATCH, Program, _compiled, _initial_state, state_shardings

DEVICES = 8


@dataclass(frozen=True)
class Case:
    width: int
    depth: int
    sequence: int
    vocabulary: int
    batch: int
    layout: Layout = field(default_factory=Layout)
    precision: str = "float32"
    optimiser: str = "adamw"
    mlp: str = "squared_relu"
    few: bool = False  # looked at by the tests
    head_width: int = 64

    @property
    def program(self) -> Program:
        heads = self.width // self.head_width
        architecture = Architecture(self.width, self.depth, heads, 4 * self.width, self.vocabulary, mlp=self.mlp)
        optimiser = OptimiserSpec(self.optimiser, 0.0, 0.9, 0.95, 1e-8, 0.0, 0.0, 0.5, 1.0)
        return Program(architecture, optimiser, self.precision, self.layout)


CASES = [
    Case(256, 4, 256, 4096, 16, few=True),
    Case(256, 4, 256, 4096, 16, Layout(accumulation=4), few=True),
    Case(256, 12, 256, 4096, 16, few=True),
    Case(256, 12, 256, 4096, 16, Layout(remat="dots"), few=True),
    Case(256, 12, 256, 4096, 16, Layout(remat="block"), few=True),
    Case(256, 12, 256, 4096, 16, Layout(remat="block", accumulation=2)),
    Case(512, 4, 128, 8192, 8),
    Case(128, 12, 512, 1024, 8),
    Case(256, 4, 256, 4096, 16, Layout(data=8)),
    Case(128, 4, 256, 32_768, 32, Layout(data=4, accumulation=2), few=True),
    Case(256, 12, 256, 4096, 16, Layout(fsdp=8), few=True),
    Case(256, 12, 256, 4096, 16, Layout(2, 2, 2), few=True),
    Case(256, 4, 256, 4096, 16, Layout(2, 2, 2)),
    Case(256, 12, 256, 4096, 16, precision="bfloat16", few=True),
    Case(256, 4, 256, 4096, 16, precision="bfloat16"),
    Case(256, 4, 256, 4096, 16, optimiser="muon", few=True),
    Case(256, 12, 256, 4096, 16, mlp="swiglu", few=True),
]


# As large as accelerators train them; L is the shape of train.py.
LARGE = [
    Case(1024, 28, 2048, 50_304, 16, precision="bfloat16"),
    Case(1024, 28, 2048, 50_304, 16, Layout(accumulation=4), precision="bfloat16"),
    Case(1024, 8, 2048, 50_304, 16, precision="bfloat16", head_width=128),
    Case(1024, 28, 2048, 50_304, 64, Layout(remat="block"), precision="bfloat16", head_width=128),
    Case(2048, 24, 2048, 50_304, 64, Layout(fsdp=8), precision="bfloat16", head_width=128),
    Case(2048, 24, 2048, 50_304, 64, Layout(2, 2, 2), precision="bfloat16", head_width=128),
    Case(2048, 24, 2048, 50_304, 64, Layout(data=8, accumulation=4), precision="bfloat16", head_width=128),
]


def compiled_for(case: Case, devices: list | None = None):
    """The compiled program; for the first of these devices where it asks for one, else for this machine."""
    program, layout = case.program, case.layout
    alone = None if devices is None else jax.sharding.SingleDeviceSharding(devices[0])

    def laid(leaf, where):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

    shapes = jax.eval_shape(functools.partial(_initial_state, program), 0)
    shardings = state_shardings(program) or jax.tree.map(lambda _: alone, shapes)
    everywhere = layout.replicated() or alone
    batch = (STEPS_PER_DISPATCH, case.batch, case.sequence + 1)
    tokens = jax.ShapeDtypeStruct(batch, np.uint16, sharding=layout.batch_sharding(1) or alone)
    rates = jax.ShapeDtypeStruct((STEPS_PER_DISPATCH,), np.float32, sharding=everywhere)
    count = jax.ShapeDtypeStruct((), np.int32, sharding=everywhere)
    state = jax.tree.map(laid, shapes, shardings)
    return _compiled(program).advance.lower(state, tokens, rates, rates, count).compile()


def analysed(compiled) -> float:
    """Bytes of one device by XLA's analysis of the compiled program."""
    found = compiled.memory_analysis()
    sizes = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
    return float(sizes - found.alias_size_in_bytes)


def attention(compiled) -> str:
    """Whose fused kernel it holds."""
    text = compiled.as_text()
    return "cuDNN" if "__cudnn$fmha" in text else "splash" if "tpu_custom_call" in text else "-"


def main(on: str | None, few: bool) -> None:
    columns = ["width x depth", "head", "sequence", "vocabulary", "batch", "data x fsdp x tensor", "micro-batches"]
    columns += ["remat", "", "attention", "predicted MB", "analysed MB", "ratio"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    backend = TARGETS[on].backend if on else "cpu"
    cases = [case for case in CASES if case.few or not few] + (LARGE if on and not few else [])
    if backend == "tpu":  # small ones live in the chip's vector memory, which XLA's analysis leaves out
        cases = LARGE
    with compiling_for(on, DEVICES) if on else contextlib.nullcontext() as devices:
        for case in cases:
            predicted = predicted_bytes(case.program, case.batch, case.sequence, backend).total
            compiled, at = compiled_for(case, devices), case.layout
            truth = analysed(compiled)
            cells = [f"{case.width} x {case.depth}", case.head_width, case.sequence, case.vocabulary, case.batch]
            cells += [f"{at.data} x {at.fsdp} x {at.tensor}", at.accumulation, at.remat]
            cells += [f"{case.precision} {case.optimiser} {case.mlp}", attention(compiled)]
            cells += [f"{predicted / 1e6:.1f}", f"{truth / 1e6:.1f}", f"{predicted / truth:.3f}"]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--on", choices=TARGETS)
    asked = parser.parse_args()
    if asked.on is None:
        jax.config.update("jax_platforms", "cpu")
        # What LLVM makes of a kernel changes no buffer: unoptimised, the same figures come in half of the time.
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES} --xla_backend_optimization_level=0"
    main(asked.on, asked.few)
