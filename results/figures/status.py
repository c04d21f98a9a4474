"""How is a run's status drawn? One colour and one symbol each, so that neither has to be told apart alone."""

from __future__ import annotations

from results.figures.style import BLUE, GREEN, MUTED, ORANGE, PURPLE, VERMILLION
from results.record import RunStatus

WAITING = "waiting"  # planned by a sweep, not begun
GONE = "running (process gone)"

STATUS_LOOK = {  # status: (colour, plotly's marker symbol)
    RunStatus.DONE.value: (GREEN, "circle"),
    RunStatus.RUNNING.value: (BLUE, "diamond"),
    WAITING: (MUTED, "circle-open"),
    RunStatus.INTERRUPTED.value: (ORANGE, "square"),
    GONE: (ORANGE, "diamond-open"),
    RunStatus.DIVERGED.value: (PURPLE, "triangle-up"),
    RunStatus.FAILED.value: (VERMILLION, "x"),
}
OTHER_LOOK = (MUTED, "asterisk-open")  # of a status that a store names and this version does not know


def status_look(status: str) -> tuple[str, str]:
    return STATUS_LOOK.get(status, OTHER_LOOK)
