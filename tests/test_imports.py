"""The one direction of imports: models and fitting import no other room, results only fitting, sweep all."""

from __future__ import annotations

import ast

from conftest import ROOT

ALLOWED = {
    "models": set(),
    "fitting": set(),
    "results": {"fitting"},
    "sweep": {"models", "fitting", "results"},
    "hydra_plugins": {"sweep"},
    "conf": set(),
}


def test_rooms_import_in_one_direction():
    wrong = []
    for room, allowed in ALLOWED.items():
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                else:
                    continue
                rooms = {name.split(".")[0] for name in names} & set(ALLOWED)
                wrong += [f"{file.relative_to(ROOT)} imports {other}" for other in rooms - allowed - {room}]
    assert not wrong
