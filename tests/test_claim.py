"""Who trains a run: one process at a time, and nobody once it is gone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sweep.claim import claim

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="file locks of Unix")
HOLD = "import sys, pathlib; from sweep.claim import claim; held = claim(pathlib.Path(sys.argv[1]), 'run'); "
HOLD += "print(bool(held), flush=True); sys.stdin.read()"


def test_a_claim_holds_until_it_is_released_or_its_holder_is_killed(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "True\n"
    assert claim(tmp_path, "run") is None
    assert claim(tmp_path, "another") is not None
    holder.kill()
    holder.communicate()
    mine = claim(tmp_path, "run")
    assert mine is not None
    assert claim(tmp_path, "run") is None
    mine.release()
    mine.release()  # once more does no harm
    assert not (tmp_path / "run.lock").exists()
    again = claim(tmp_path, "run")
    assert again is not None
    again.release()


def test_a_folder_that_cannot_be_locked_gives_the_claim_to_everybody(tmp_path):
    (tmp_path / "claims").write_text("a file, no folder")
    assert claim(tmp_path / "claims", "run") is not None
    assert claim(tmp_path / "claims", "run") is not None
