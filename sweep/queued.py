"""Losses that a device was asked for and that are read later, while it goes on with something else."""

from __future__ import annotations

import collections

import jax
import numpy as np

BLOCKS_KEPT = 64  # on a device, which is never idle for want of more: 16 MB at a sequence of 2048
BLOCKS_KEPT_ON_CPU = 1  # many at once deadlock there: collectives of devices wait for threads that later ones took


class QueuedLosses:
    """Blocks of windows in the order in which they were asked for."""

    def __init__(self) -> None:
        self._kept = BLOCKS_KEPT_ON_CPU if jax.default_backend() == "cpu" else BLOCKS_KEPT
        self._read: list[np.ndarray] = []
        self._queued: collections.deque[tuple[jax.Array, int]] = collections.deque()

    def add(self, block: jax.Array, windows: int) -> None:
        """The first `windows` rows of `block` are meant. Waits for the oldest where the device would keep too many."""
        block.copy_to_host_async()
        self._queued.append((block, windows))
        if len(self._queued) > self._kept:
            self._take()

    def read(self) -> np.ndarray:
        """Waits for all of them: (windows, T) float32, in nats."""
        while self._queued:
            self._take()
        return np.concatenate(self._read)

    def _take(self) -> None:
        block, windows = self._queued.popleft()
        self._read.append(np.asarray(block)[:windows])
