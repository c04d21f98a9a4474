"""What is raised when the input gives no answer: one line that says what was got, what is allowed, what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable


class InputError(ValueError):
    """Bad input from a user. Command lines print its message as one line and exit with 2."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))  # whatever a file held, it stays one line


def run_command(app: Callable[[], object]) -> None:
    """Runs a command line; bad input is one line on standard error and exit code 2."""
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
