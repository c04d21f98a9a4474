"""The record: what every run left behind, the store that holds it, its figures and its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from results.record import RunRecord, RunStatus

if TYPE_CHECKING:
    from results.store import Store

__all__ = ["RunRecord", "RunStatus", "Store"]


def __getattr__(name: str) -> Any:
    """Store brings pyarrow (0.3 s), so it is imported when it is first asked for: `--help` stays fast."""
    if name == "Store":
        from results.store import Store

        return Store
    raise AttributeError(f"module 'results' has no attribute {name!r}; it has {', '.join(__all__)}")
