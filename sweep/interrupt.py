"""Ctrl-C, SIGTERM and SIGHUP end a command the same way, wherever they find it.

The handler raises KeyboardInterrupt, so that what is under way ends at once. Python swallows what is raised while it
frees an object; so the handler also remembers, and the loop of a sweep asks.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Generator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_asked: int | None = None  # the signal that was heard


def listen() -> None:
    """From now on."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or a shell's background
            signal.signal(number, _stop)
    sys.unraisablehook = _tell


def deaf() -> None:
    """Nothing is left to interrupt but Python's own end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def held_back() -> Generator[None]:
    """While native libraries are imported: what is raised inside of JAX's aborts the process. Heard afterwards.

    By handlers, not by a mask: a mask is one thread's, and the kernel gives a process's signal to any other.
    """
    if threading.current_thread() is not threading.main_thread():  # Python's handlers never run here
        yield
        return
    heard: list[int] = []
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in handlers.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])


def check() -> None:
    """Raises KeyboardInterrupt where a signal was heard, whether or not it got through."""
    if _asked is not None:
        raise KeyboardInterrupt(_asked)


def exit_code() -> int:
    """As a shell has it: 128 and the number of the signal."""
    return 128 + (signal.SIGINT if _asked is None else _asked)


def _stop(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = number
    raise KeyboardInterrupt(number)


def _tell(unraisable: Any) -> None:
    """What was swallowed is said by Python, except an interrupt: `check` will find it."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
