"""Signals that come at a bad moment."""

from __future__ import annotations

import os
import signal

import pytest

from sweep.interrupt import held_back


def test_a_signal_is_held_back_while_native_libraries_are_imported_and_heard_afterwards():
    imported = []

    def import_them():
        with held_back():
            os.kill(os.getpid(), signal.SIGINT)
            imported.append(True)

    with pytest.raises(KeyboardInterrupt):
        import_them()
    assert imported
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
