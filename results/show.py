"""How are runs, measurements and garbage printed in a terminal? As tables that never cut a figure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from results.garbage import Garbage
from results.listing import HEADERS, plain, run_row
from results.measurement import Measurement
from results.record import RunRecord, RunStatus

PIPE_WIDTH = 160  # columns where no terminal says how wide it is
WIDTH_WITH_SENTENCES = 120  # columns


def print_runs(records: Sequence[RunRecord]) -> None:
    """Where the sentences find no room beside the numbers, those of unfinished runs stand below."""
    console = _console()
    wide = console.width >= WIDTH_WITH_SENTENCES
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0))
    for header in HEADERS:
        left = header in ("run", "status")
        table.add_column(header, justify="left" if left else "right", no_wrap=header != "status")
    if wide:
        table.add_column("sentence", overflow="fold")
    below = []
    for record in records:
        row = run_row(record)
        cells = (*row.cells, row.sentence) if wide else row.cells
        table.add_row(*(Text(cell) for cell in cells))  # Text: a name in a store is no markup
        if not wide and record.status != RunStatus.DONE:
            below.append(Text(f"{row.cells[0]} {row.status}: {row.sentence}"))
    console.print(table)
    if below:
        console.print(*below, sep="\n")
    console.print("N: non-embedding parameters, D: training tokens, FLOPs: exact, loss: nats/token", style="dim")


def print_measurements(run_id: str, step: int, measured: Sequence[Measurement]) -> None:
    """Those of one step."""
    table = Table("kind", "name", "metric", "value", "± se", "of", title=f"Run {run_id[:8]} at step {step:,}")
    for one in measured:
        if one.step == step:
            error = "" if one.standard_error is None else f"{one.standard_error:.4f}"
            cells = (one.kind, plain(one.name), one.metric, f"{one.value:.4f}", error, f"{one.count:,}")
            table.add_row(*map(Text, cells))
    _console().print(table)


def print_garbage(garbage: Sequence[Garbage]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("what", overflow="fold")
    for header in ("how many", "bytes"):
        table.add_column(header, justify="right", no_wrap=True)
    for why, count, size in [*by_reason(garbage), ("together", len(garbage), sum(one.size for one in garbage))]:
        table.add_row(Text(why), f"{count:,}", bytes_text(size))
    _console().print(table)


def by_reason(garbage: Sequence[Garbage]) -> list[tuple[str, int, int]]:
    """(what, how many, bytes), in the order in which they were found."""
    reasons = dict.fromkeys(one.why for one in garbage)
    sizes = {why: [one.size for one in garbage if one.why == why] for why in reasons}
    return [(why, len(found), sum(found)) for why, found in sizes.items()]


def bytes_text(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)
