"""Signals that come at a bad moment."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from sweep.interrupt import held_back


def test_a_signal_is_held_back_while_native_libraries_are_imported_and_heard_afterwards():
    # Whoever starts the tests in a shell's background has them ignore it.
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    imported, over = [], threading.Event()
    other = threading.Thread(target=over.wait)  # a mask would leave the signal to it
    other.start()

    def import_them():
        with held_back():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            imported.append(True)

    try:
        with pytest.raises(KeyboardInterrupt):
            import_them()
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        over.set()
        other.join()
        signal.signal(signal.SIGINT, found)
    assert imported


def test_what_is_ignored_stays_ignored_and_another_thread_imports_too():
    done = []

    def import_them():
        with held_back():
            done.append(threading.current_thread().name)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with held_back():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        other = threading.Thread(target=import_them, name="other")
        other.start()
        other.join()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert done == ["other"]
