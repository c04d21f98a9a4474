"""How does a shell complete `python -m sweep …`? Hydra's own scripts know `python FILE` and installed commands only.

    eval "$(python -m sweep -sc install=bash)"

The answers are Hydra's: groups, their choices, settings and files. Only the line is put into the words that it reads.
"""

from __future__ import annotations

import re

from fitting.errors import InputError

BASH = """\
_isoflop_sweep() {
    [ "${COMP_WORDS[1]} ${COMP_WORDS[2]}" = "-m sweep" ] || return
    local choices=$(COMP_LINE="${COMP_LINE:0:$COMP_POINT}" "${COMP_WORDS[0]}" -m sweep -sc query=bash 2> /dev/null)
    COMPREPLY=($(compgen -o nospace -o default -W "$choices" -- "${COMP_WORDS[$COMP_CWORD]}"))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _isoflop_sweep PYTHON"""
ZSH = """\
_isoflop_sweep() {
    [[ "$words[2] $words[3]" == "-m sweep" ]] || { _default; return }
    local choices="$(COMP_LINE="${(j: :)words[1,CURRENT]}" $words[1] -m sweep -sc query=zsh 2> /dev/null)"
    compadd -Q -S '' -- ${=choices}
}
compdef _isoflop_sweep PYTHON"""
FISH = """\
function __isoflop_sweep
    set -lx COMP_LINE (commandline -cp)
    set -l parts (commandline -cpo)
    $parts[1] -m sweep -sc query=fish 2> /dev/null
end
for python in PYTHON
    complete -c $python -x -n 'string match -q "* -m sweep *" -- (commandline -cp)' -a '(__isoflop_sweep)'
end"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
PYTHON = "python python3 .venv/bin/python"


def script(overrides: list[str]) -> str | None:
    """What `-sc install=SHELL` prints; None for a query. Raises InputError where neither is asked for."""
    action, _, shell = (overrides[0] if len(overrides) == 1 else "").partition("=")
    if action not in ("install", "query") or shell not in SCRIPTS:
        raise InputError(
            f"--shell-completion is given with {' '.join(overrides) or 'nothing'}; allowed are install=SHELL and "
            f"query=SHELL, SHELL one of {', '.join(SCRIPTS)}"
        )
    return SCRIPTS[shell].replace("PYTHON", PYTHON) if action == "install" else None


def line_for_hydra(line: str) -> str:
    """`python -m sweep a=1 -m b=` to `sweep -m a=1 b=`: one word for the program, -m before the settings."""
    rest = re.sub(r"^.*?\s-m\s+sweep\b\s?", "", line, count=1)
    *words, last = rest.split(" ")
    flags = [word for word in words if word in ("-m", "--multirun")]
    return " ".join(["sweep", *flags[:1], *(word for word in words if word and word not in flags), last])
