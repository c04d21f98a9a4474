"""What does depth cost: seconds to compile a training program, and is a step faster with its blocks unrolled?

    python benchmarks/depth.py            # CPU: about 4 minutes; prints a table of docs/speed.md
    python benchmarks/depth.py 8 16       # these depths

Width 128, 4 heads, vocabulary 1024, 8 sequences of 128, one device, float32, no compile cache. Both programs of a depth
take turns for their steps. Blocks up to models.decoder.UNROLL_UP_TO are unrolled, deeper ones scanned.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

from sweep.worker import CPU_FLAGS

DEPTHS = (2, 4, 8, 16, 32)
ROUNDS, STEPS = 9, 4


def main() -> None:
    os.environ.setdefault("XLA_FLAGS", CPU_FLAGS)
    import jax

    jax.config.update("jax_enable_compilation_cache", False)
    depths = tuple(map(int, sys.argv[1:])) or DEPTHS
    print("| blocks | unrolled: compiling | scanned: compiling | unrolled / scanned: steps a second |")
    print("|---|---|---|---|")
    for depth in depths:
        unrolled, scanned = Trial(depth, depth), Trial(depth, 0)
        ratios = [scanned.seconds() / unrolled.seconds() for _ in range(ROUNDS)]
        print(
            f"| {depth} | {unrolled.compiling:.1f} s | {scanned.compiling:.1f} s | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) |",
            flush=True,
        )


class Trial:
    """One compiled program."""

    def __init__(self, depth: int, unroll_up_to: int):
        import jax
        import numpy as np

        import models.decoder
        from models import Architecture
        from sweep.layout import Layout
        from sweep.spec import OptimiserSpec
        from sweep.train import STEPS_PER_DISPATCH, Program, _advance

        vars(models.decoder)["UNROLL_UP_TO"] = unroll_up_to
        optimiser = OptimiserSpec("adamw", 0.0, 0.9, 0.95, 1e-10, 0.0, 0.0, 0.5, 1.0)
        program = Program(Architecture(128, depth, 4, 512, 1024), optimiser, "float32", Layout())
        tokens = np.random.default_rng(0).integers(0, 1024, (STEPS_PER_DISPATCH, 8, 129)).astype(np.uint16)
        rates = np.full(STEPS_PER_DISPATCH, 1e-3, np.float32)
        self._state, self._rest = program.initial_state(0), (tokens, rates, rates, np.int32(STEPS))

        def advance(*arrays):
            return _advance(program, *arrays)

        lowered = jax.jit(advance, donate_argnums=0).lower(self._state, *self._rest)
        started = time.perf_counter()
        self._compiled = lowered.compile()
        self.compiling = time.perf_counter() - started
        self.seconds()  # memory is touched for the first time

    def seconds(self) -> float:
        """Of a dispatch."""
        started = time.perf_counter()
        self._state, advanced = self._compiled(self._state, *self._rest)
        advanced.losses.block_until_ready()
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
