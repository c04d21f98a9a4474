"""Does the memory model say what XLA's own analysis of the compiled program says? Prints a table.

    python benchmarks/memory.py            # about 3 minutes: compiles for 8 CPU devices, trains nothing
    python benchmarks/memory.py --few      # those that the tests look at

Bytes of one device: arguments + outputs + temporaries - what outputs share with arguments.
"""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass, field

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

    @property
    def program(self) -> Program:
        architecture = Architecture(
            self.width, self.depth, self.width // 64, 4 * self.width, self.vocabulary, mlp=self.mlp
        )
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


def analysed(case: Case) -> float:
    """Bytes of one device by XLA's analysis of the compiled program."""
    import jax
    import numpy as np

    program = case.program
    shapes = jax.eval_shape(functools.partial(_initial_state, program), 0)
    shardings = state_shardings(program)
    if shardings is not None:
        shapes = jax.tree.map(
            lambda s, where: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=where), shapes, shardings
        )
    batch = (STEPS_PER_DISPATCH, case.batch, case.sequence + 1)
    tokens = jax.ShapeDtypeStruct(batch, np.uint16, sharding=case.layout.batch_sharding(1))
    rates, count = jax.ShapeDtypeStruct((STEPS_PER_DISPATCH,), np.float32), jax.ShapeDtypeStruct((), np.int32)
    compiled = _compiled(program).advance.lower(shapes, tokens, rates, rates, count).compile()
    found = compiled.memory_analysis()
    sizes = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
    return float(sizes - found.alias_size_in_bytes)


def main() -> None:
    few = "--few" in sys.argv
    print("| width x depth | sequence | vocabulary | batch | data x fsdp x tensor | micro-batches | remat | | ", end="")
    print("predicted MB | analysed MB | ratio |\n" + "|---" * 11 + "|")
    for case in CASES:
        if few and not case.few:
            continue
        predicted = predicted_bytes(case.program, case.batch, case.sequence).total
        truth, at = analysed(case), case.layout
        mesh = f"{at.data} x {at.fsdp} x {at.tensor}"
        print(
            f"| {case.width} x {case.depth} | {case.sequence} | {case.vocabulary} | {case.batch} | {mesh} | "
            f"{at.accumulation} | {at.remat} | {case.precision} {case.optimiser} {case.mlp} | "
            f"{predicted / 1e6:.1f} | {truth / 1e6:.1f} | {predicted / truth:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    os.environ["JAX_PLATFORMS"] = "cpu"
    # What LLVM makes of a kernel changes no buffer: unoptimised, the same figures come in half of the time.
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES} --xla_backend_optimization_level=0"
    main()
