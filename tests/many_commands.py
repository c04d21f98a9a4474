"""Many lines of `python -m sweep` in one process, for tests of what is refused: importing takes longer than refusing.

Reads a JSON list of argument lists, prints one of [exit code, standard error].
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Sequence


def refusals(lines: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """(exit code, standard error) of each line, as a process of its own would leave them."""
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(lines), capture_output=True, text=True, timeout=600, check=True
    )
    return [(code, error) for code, error in json.loads(done.stdout)]


def _main() -> None:
    from hydra.core.global_hydra import GlobalHydra

    from sweep import __main__ as command

    told = []
    for arguments in json.load(sys.stdin):
        GlobalHydra.instance().clear()
        command._refused.clear()
        sys.argv = ["sweep", *arguments]
        error, code = io.StringIO(), 0
        with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
            try:
                command.main()
            except SystemExit as left:
                code = left.code if isinstance(left.code, int) else 1
        told.append((code, error.getvalue()))
    print(json.dumps(told))


if __name__ == "__main__":
    _main()
