"""One compiled training program on random tokens, to be timed in turn with others."""

from __future__ import annotations

import time

import jax
import numpy as np

from models import Architecture
from sweep.layout import Layout
from sweep.spec import OptimiserSpec
from sweep.train import STEPS_PER_DISPATCH, Program, _advance


class Trial:
    """On one device, float32, AdamW; compiled without a cache."""

    def __init__(self, architecture: Architecture, layout: Layout, sequences: int, sequence: int, steps: int):
        optimiser = OptimiserSpec("adamw", 0.0, 0.9, 0.95, 1e-10, 0.0, 0.0, 0.5, 1.0)
        program = Program(architecture, optimiser, "float32", layout)
        shape = (STEPS_PER_DISPATCH, sequences, sequence + 1)
        tokens = np.random.default_rng(0).integers(0, architecture.vocab_size, shape).astype(np.uint16)
        rates = np.full(STEPS_PER_DISPATCH, 1e-3, np.float32)
        self._state, self._rest = program.initial_state(0), (tokens, rates, rates, np.int32(steps))

        def advance(*arrays):
            return _advance(program, *arrays)

        jax.config.update("jax_enable_compilation_cache", False)
        lowered = jax.jit(advance, donate_argnums=0).lower(self._state, *self._rest)
        started = time.perf_counter()
        self._compiled = lowered.compile()
        self.compiling = time.perf_counter() - started
        self.seconds()  # memory is touched for the first time

    def seconds(self) -> float:
        """Of a dispatch of so many steps."""
        started = time.perf_counter()
        self._state, advanced = self._compiled(self._state, *self._rest)
        advanced.losses.block_until_ready()
        return time.perf_counter() - started
