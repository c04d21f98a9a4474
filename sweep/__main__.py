"""python -m sweep: run one model, a grid (-m model.n=1e6,3e6 data.tokens=2e7,6e7), or a named experiment."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from sweep import interrupt

if TYPE_CHECKING:  # importing takes a while, in which a Ctrl-C is to be heard as at any time: see main
    from omegaconf import DictConfig

_refused: list[Exception] = []


def sweep(config: DictConfig) -> str | None:
    """What was refused, for the launcher of another process: Hydra hands back what its jobs return."""
    from fitting.errors import InputError
    from models.errors import ArchitectureError
    from sweep.hydra_bridge import single

    try:
        single(config)
    except (InputError, ArchitectureError) as error:
        _refused.append(error)  # raised through Hydra it would get a second line: "Error executing job …"
        return str(error)
    return None


def main() -> None:
    """One line and exit code 2 for whatever the user can correct; a traceback only for our own mistakes."""
    try:
        interrupt.listen()
        _command()
    except KeyboardInterrupt:
        interrupt.deaf()
        sys.exit(interrupt.exit_code())
    if _refused:
        print(f"error: {_refused[0]}", file=sys.stderr)
        sys.exit(2)


def _command() -> None:
    import hydra
    from hydra._internal.utils import get_args_parser
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from fitting.errors import InputError
    from models.errors import ArchitectureError
    from sweep.flags import answered
    from sweep.guard import stand_guard

    os.environ["HYDRA_FULL_ERROR"] = "1"  # hand errors over instead of printing them
    # Hydra's parser wants all flags before the first override, or after the last; people type them anywhere.
    parser = get_args_parser()
    parser.error = _refuse_flags
    try:
        flags = parser.parse_intermixed_args()
        sys.argv[1:] = sorted(sys.argv[1:], key=lambda argument: argument in flags.overrides)
        stand_guard()
        if not answered(flags):
            hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")(sweep)()
    except (InputError, ArchitectureError) as error:
        _refused.append(error)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        from sweep.misspelt import meant

        _refused.append(ValueError(meant(str(error)) or _one_line(error)))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        _refused.append(ValueError(f"{error}; what is done is in the store. Make room and run the same command again"))


def _refuse_flags(message: str) -> NoReturn:
    """In the place of argparse's, which prints all of Hydra's flags and none of our settings."""
    from fitting.errors import InputError
    from sweep.misspelt import settings

    flag = message.removeprefix("unrecognized arguments: ").split()[0].lstrip("-")
    name, _, value = flag.partition("=")
    name = name.replace("-", "_")
    example = f"{name}={value or 'true'}" if name in settings() else "model.n=1e6"
    raise InputError(f"{message}; settings are given as NAME=VALUE, such as {example} (--help lists them)")


def _one_line(error: Exception) -> str:
    """Hydra and OmegaConf explain over several lines; the first ones say it all."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    hints = [line for line in lines[1:] if not line.startswith(("full_key", "object_type", "reference_type"))]
    return "; ".join([*lines[:1], *hints][:4])


if __name__ == "__main__":
    main()
