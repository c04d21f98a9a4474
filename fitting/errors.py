"""What is raised when the input gives no answer: one line that says what was got, what is allowed, what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable


class InputError(ValueError):
    """Bad input from a user. Command lines print its message as one line and exit with 2."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))  # whatever a file held, it stays one line


def run_command(app: Callable[..., object]) -> None:
    """Runs a Typer command line; bad input is one line on standard error and exit code 2, whoever refuses it."""
    import typer

    refused = typer.BadParameter.__mro__[2]  # ClickException, wherever this version of Typer keeps it
    try:
        code = app(standalone_mode=False)
    except InputError as error:
        message = str(error)
    except refused as error:  # ty: ignore[invalid-exception-caught]
        if "Help" in type(error).__name__:  # no command at all: the help is the answer
            error.show()
            sys.exit(2)
        message = " ".join(error.format_message().replace("Value error, ", "").split())
    except typer.Abort:
        sys.exit(130)
    else:
        sys.exit(code if isinstance(code, int) else 0)
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
