"""What does a run's own Parquet file say in its footer? Its schema's version, and its row once more, as JSON.

A reader of Parquet spends its time on columns, and a run has 84 of them and one row: the footer alone is read three
times as fast. Whoever writes the file again by another program adds keys to the footer, or drops these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

VERSION, ROW = b"isoflop_schema", b"isoflop_row"


def footer(version: int, row: Mapping[str, Any]) -> dict[str, str]:
    """The key-value metadata of the file of one run."""
    return {VERSION.decode(): str(version), ROW.decode(): json.dumps(row, separators=(",", ":"))}


def row_in_footer(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any] | None:
    """None where the columns count: the file is of another program, or was written again by one."""
    if metadata is None or set(metadata) != {VERSION, ROW}:
        return None
    return json.loads(metadata[ROW])
