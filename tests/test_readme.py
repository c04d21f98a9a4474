"""The README is true: its tree is the tree, its commands are commands, its test line is what CI runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text()


def code_blocks() -> list[str]:
    return re.findall(r"```bash\n(.*?)```", README, flags=re.S)


def commands() -> list[list[str]]:
    """Every `python -m …` line, without its comment and its interpreter."""
    lines = [line.split(" #")[0].strip() for block in code_blocks() for line in block.splitlines()]
    return [shlex.split(line)[2:] for line in lines if line.startswith("python -m ")]


def run(*arguments: str) -> subprocess.CompletedProcess:
    environment = {"COLUMNS": "200", "TERM": "dumb"}
    import os

    return subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def test_the_tree_is_the_tree():
    tree = README.split("## The tree")[1].split("```")[1]
    named = {line.split("/")[0] for line in tree.strip().splitlines()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {line.split("/")[0] for line in tracked.splitlines() if "/" in line and not line.startswith(".")}
    assert named == folders


@pytest.mark.parametrize("command", commands(), ids=lambda command: " ".join(command)[:60])
def test_every_command_is_one(command):
    module, *rest = command
    if module == "sweep":
        values = [re.sub(r"=([^,{}]+),.*", r"=\1", argument) for argument in rest if argument != "-m"]
        done = run("sweep", *values, "--cfg", "job")
        assert done.returncode == 0, done.stderr
        return
    subcommand = [rest[0]] if rest and not rest[0].startswith("-") else []
    help_text = run(module, *subcommand, "--help")
    assert help_text.returncode == 0, help_text.stderr
    for option in (word for word in rest if word.startswith("--")):
        assert option in help_text.stdout


def test_ci_runs_the_test_line_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    assert "<!-- test -->" in script
    block = README.split("<!-- test -->")[1].split("```bash\n")[1].split("```")[0]
    assert block.strip() == (
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest"
    )


def test_the_quickstart_line_is_short_and_whole():
    block = README.split("<!-- run -->")[1].split("```bash\n")[1].split("```")[0]
    assert block.count("\n") == 1
    assert block.strip().endswith("-m sweep -m experiment=quickstart")


def test_the_speed_of_the_readme_is_that_of_its_tables():
    """Ratios to the peers as docs/speed.md has them: a table for each shape, S before M, then one of other machines."""
    rows = [line.split("|")[1:-1] for line in (ROOT / "docs" / "speed.md").read_text().splitlines() if "|" in line]
    peers = {"nanoGPT": [], "NanoDO": [], "Levanter": []}
    for name, *cells in rows:
        if (peer := name.strip().partition(" ")[0]) in peers:
            ratios = cells if len(cells) == 4 else cells[3:4]
            peers[peer] += [float(cell.split()[0]) for cell in ratios]
    x = r"([.\d]+)"
    said = re.search(
        rf"trains {x} to {x} times as fast as nanoGPT on torch \({x}x at 98k parameters, {x}x at 983k, "
        rf"on an Intel Xeon; {x}x and {x}x while others were busy on it; {x}x and {x}x on an AMD EPYC\) "
        rf"and {x} to {x} times as fast as two other",
        re.sub(r"\s+", " ", README),
    )
    assert said is not None
    least, most, *ratios, others_least, others_most = map(float, said.groups())
    assert ratios == peers["nanoGPT"]
    assert [least, most] == [round(min(ratios), 1), round(max(ratios), 1)]
    others = peers["NanoDO"] + peers["Levanter"]
    assert len(others) == 12
    assert [others_least, others_most] == [round(min(others), 1), round(max(others), 1)]
