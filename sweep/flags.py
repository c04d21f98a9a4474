"""Which of Hydra's flags are answered here, before Hydra sees them?"""

from __future__ import annotations

import argparse
import os

from fitting.errors import InputError
from sweep.complete import line_for_hydra, script


def answered(flags: argparse.Namespace) -> bool:
    """Whether there is nothing left for Hydra to do. Raises InputError for flags that exclude each other, and for the
    one that unpickles a file."""
    if flags.experimental_rerun is not None:
        raise InputError(
            f"--experimental-rerun is {flags.experimental_rerun!r}, a pickle, which could run code; type the sweep "
            f"again instead: what is in the store is not trained twice"
        )
    asked = {"--run": flags.run, "--multirun": flags.multirun, "--cfg": flags.cfg, "--info": flags.info}
    asked["--shell-completion"] = flags.shell_completion
    given = [name for name, value in asked.items() if value not in (None, False)]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} are given; allowed is one of {', '.join(asked)}")
    if flags.resolve and not (flags.cfg or flags.help):
        raise InputError("--resolve is given alone; it belongs to --cfg or --help")
    if flags.shell_completion:
        text = script(flags.overrides)
        os.environ["COMP_LINE"] = line_for_hydra(os.environ.get("COMP_LINE", ""))
        if text is not None:
            print(text)
            return True
    return False
