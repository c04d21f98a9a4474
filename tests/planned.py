"""Plans for tests, as people ask for them: the command's JSON, its refusals, and runs of a known law."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from fitting.__main__ import app
from fitting.errors import InputError
from fitting.planner.surface import Surface

TRUE = Surface(1.8, 400.0, 1200.0, 0.34, 0.36)
BESIROGLU = ["--law-constants", "besiroglu"]
runner = CliRunner()


def plan(*arguments: str) -> dict:
    done = runner.invoke(app, ["plan", *arguments, "--json"])
    assert done.exit_code == 0, done.stderr or done.exception
    return json.loads(done.stdout)


def refusal(*arguments: str) -> str:
    """The one line that bad input gets; nothing is printed beside it."""
    done = runner.invoke(app, ["plan", *arguments])
    assert isinstance(done.exception, InputError), (done.output, done.exception)
    assert "\n" not in str(done.exception)
    return str(done.exception)


def write_sweep(path: Path) -> None:
    """30 runs of TRUE with 0.3% noise, and the columns of a store that a plan reads."""
    rng = np.random.default_rng(0)
    rows = ["n_params,d_tokens,loss,learning_rate,eval_bytes,eval_tokens,vocab_size,sequence,device,mfu,status"]
    for n in np.geomspace(1e6, 1e9, 6):
        for ratio in (5, 10, 20, 40, 80):
            loss = TRUE.loss(n, ratio * n) * np.exp(0.003 * rng.standard_normal())
            mfu = 0.2 + 0.01 * math.log10(n)
            rows.append(f"{n},{ratio * n},{loss},0.006,4000,1000,32000,2048,NVIDIA H100 80GB HBM3,{mfu},done")
    path.write_text("\n".join(rows) + "\n")
