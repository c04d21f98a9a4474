"""What was asked for? The numbers of the command line, checked for sense and for contradictions."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, fields

from fitting.errors import InputError
from fitting.points import LARGEST_COUNT

LARGEST_FLOPS = 1e32  # a million times the largest public run; above, a slip of the keyboard
SMALLEST_FLOPS = 1e6  # a thousandth of a second of one core
LARGEST_LOSS = 20.0  # nats per token; the logarithm of any vocabulary is below 14


class Known(enum.Enum):
    """What fixes the run; the value is what a person reads."""

    COMPUTE = "the compute"
    LOSS = "the loss"
    SIZE = "N"
    HORIZON = "D"
    RUN = "N and D"


@dataclass(frozen=True)
class Request:
    """None: not said. Exactly one thing fixes the compute: a budget, a loss, or N or D or both."""

    flops: float | None = None  # training FLOPs
    chip_hours: float | None = None
    dollars: float | None = None
    days: float | None = None  # wall clock
    chips: int | None = None
    loss: float | None = None  # nats per token
    n_params: float | None = None
    d_tokens: float | None = None
    serve_tokens: float | None = None  # tokens to be generated or read in the model's life
    unique_tokens: float | None = None  # tokens of text that there are
    mfu: float | None = None  # of the training, 0..1
    price: float | None = None  # dollars per chip-hour
    serve_mfu: float | None = None
    serve_price: float | None = None
    text_bytes: float | None = None  # raw bytes of the training text
    bytes_per_token: float | None = None
    change: tuple[float, float] | None = None  # loss before and after a change of the recipe, at one compute
    context: int | None = None  # tokens
    vocab: int | None = None  # entries
    chip: str | None = None  # None: one was assumed

    def __post_init__(self) -> None:
        limits = {
            "n_params": LARGEST_COUNT,
            "d_tokens": LARGEST_COUNT,
            "loss": LARGEST_LOSS,
            "mfu": 1.0,
            "serve_mfu": 1.0,
        }
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, str):
                continue
            for number in value if isinstance(value, tuple) else (value,):
                limit = limits.get(one.name, LARGEST_FLOPS)
                hint = "; 0.40 is 40%" if "mfu" in one.name else ""
                if number is not None and not (math.isfinite(number) and 0 < number <= limit):
                    raise InputError(f"{flag(one.name)} is {number:g}; allowed is above 0 and at most {limit:g}{hint}")
        if self.flops is not None and self.flops < SMALLEST_FLOPS:
            raise InputError(f"--flops is {self.flops:g}; allowed is {SMALLEST_FLOPS:g} and more: a model and its text")
        self._refuse_contradictions()

    @property
    def known(self) -> Known:
        """What the run is found from."""
        if self.n_params is not None and self.d_tokens is not None:
            return Known.RUN
        if self.budget is not None:
            return Known.COMPUTE
        if self.loss is not None:
            return Known.LOSS
        return Known.SIZE if self.n_params is not None else Known.HORIZON

    @property
    def budget(self) -> str | None:
        """The field that gives the compute; "days" stands for days times chips."""
        given = [name for name in ("flops", "chip_hours", "dollars") if getattr(self, name) is not None]
        if self.days is not None and self.chips is not None:
            given.append("days")
        return given[0] if given else None

    def _refuse_contradictions(self) -> None:
        budgets = [name for name in ("flops", "chip_hours", "dollars") if getattr(self, name) is not None]
        whole = self.n_params is not None and self.d_tokens is not None
        timed = self.days is not None and self.chips is not None
        if len(budgets) > 1:
            raise InputError(f"{' and '.join(map(flag, budgets))} both say what may be spent; give one of them")
        if budgets and timed and not whole:
            raise InputError(
                f"{flag(budgets[0])} and --days with --chips both say what may be spent; give the budget with --days "
                f"(how many chips?) or with --chips (how many days?)"
            )
        if whole and (self.flops is not None or self.dollars is not None or self.loss is not None):
            extra = next(name for name in ("flops", "dollars", "loss") if getattr(self, name) is not None)
            raise InputError(f"--n and --d say the whole run; leave {flag(extra)} out (it is one of the answers)")
        if whole and self.chip_hours is not None and timed:
            raise InputError("--chip-hours and --days with --chips both say how long the run took; give one of them")
        if whole and self.mfu is not None and (self.chip_hours is not None or timed):
            raise InputError("--mfu with the time of a whole run: the time says the MFU; leave --mfu out")
        if self.loss is not None and self.budget is not None:
            raise InputError(
                f"--loss and {flag(self.budget)}: with a budget the loss is the answer; give one of them, and look at "
                f"the table of smaller models for other ways to the same loss"
            )
        for name in ("serve_mfu", "serve_price"):
            if getattr(self, name) is not None and self.serve_tokens is None:
                raise InputError(f"{flag(name)} is of serving; say --serve-tokens too, how many")
        if self.serve_price is not None and self.price is None and self.chip is None:
            raise InputError("--serve-price is weighed against the price of training; give --price or --chip too")
        if self.n_params is None and self.d_tokens is None and self.loss is None and self.budget is None:
            raise InputError(
                "nothing to plan for: give a budget (--flops, --chip-hours, --dollars, or --days with --chips), a "
                "target (--loss), or a run (--n, --d)"
            )


def flag(field: str) -> str:
    """The command line's word for a field."""
    return {"n_params": "--n", "d_tokens": "--d", "days": "--days with --chips"}.get(
        field, "--" + field.replace("_", "-")
    )
