"""Many parts encoded side by side, one process a core."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from fitting.errors import InputError
from sweep.data.encode import encode_part, is_encoded
from sweep.data.settings import DataSettings
from sweep.data.sources.part import Part
from sweep.data.tokenizers import Tokenizer

Report = Callable[[str, float], None]

ALONE_BYTES = 8_000_000  # below, one process is done before others have started


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def encode_parts(
    settings: DataSettings,
    tokenizer: Tokenizer,
    parts: Sequence[Part],
    stems: Sequence[Path],
    report: Report,
    workers: int,
) -> None:
    """Every part that is not encoded yet; progress by weight."""
    left = [number for number, stem in enumerate(stems) if not is_encoded(stem)]
    total = sum(part.weight for part in parts) or 1
    done = total - sum(parts[number].weight for number in left)
    words = f"encoding {total / 1e6:,.0f} MB" if total > 1e6 else "encoding"

    def finished(number: int) -> None:
        nonlocal done
        done += parts[number].weight
        report(words, 0.05 + 0.9 * done / total)

    report(words, 0.05 + 0.9 * done / total)
    weight = sum(parts[number].weight for number in left)
    if workers == 1 or len(left) == 1 or 1000 < weight < ALONE_BYTES:
        for number in left:
            encode_part(settings, tokenizer, parts[number], stems[number])
            finished(number)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, context, _one_thread) as pool:
            futures = {
                pool.submit(encode_part, settings, tokenizer, parts[number], stems[number]): number for number in left
            }
            waiting = set(futures)
            try:
                while waiting:
                    ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in ended:
                        future.result()
                        finished(futures[future])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except BrokenProcessPool:
        raise InputError(
            "a process that encoded a part was killed, perhaps for want of memory; what is done is kept. Run the same "
            "command again, with fewer workers"
        ) from None


def _one_thread() -> None:
    """Processes are the parallelism: libraries that start threads of their own keep to one."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["RAYON_NUM_THREADS"] = "1"
