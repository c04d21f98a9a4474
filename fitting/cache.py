"""Where is kept what can be made again: one folder a user, for compiled programs and prepared corpora."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SHORTEST_COMPILE = 0.1  # seconds; shorter compilations are not worth a file


def cache_folder() -> Path:
    """ISOFLOP_CACHE, else the user's cache folder."""
    chosen = os.environ.get("ISOFLOP_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "isoflop"


def use_compile_cache() -> None:
    """One persistent compile cache for all processes; JAX is not imported for it."""
    folder = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "xla"))
    seconds = os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", str(SHORTEST_COMPILE))
    if "jax" in sys.modules:  # it has read its environment already
        import jax

        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", float(seconds))
