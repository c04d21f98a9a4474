"""A bounded part of faults/kills.py: 10 kills. The whole: PYTHONPATH=tests python -m faults.kills --kills 200."""

from __future__ import annotations

import sys

import pytest
from faults.kills import KINDS, kill_sweeps, table


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")
def test_a_sweep_that_is_killed_at_random_moments_ends_at_the_bits_of_an_undisturbed_one(text_folder, tmp_path):
    tally = kill_sweeps(text_folder, tmp_path, kills=10, seed=1)
    assert not tally.wrong, table(tally)
    assert sum(tally.kills.values()) == 10
    assert set(tally.kills) == set(KINDS)
