"""How do initial scale, learning rate, weight decay and residual branches depend on width and depth?

`complete_p`, so that one learning rate serves all N: maximal-update rules for Adam in width (Yang et al. 2022,
arXiv:2203.03466, table 8) with depth scaling (Dey et al. 2025, arXiv:2505.01618, table 1, alpha = 1). With
m = width / BASE_WIDTH and l = depth / BASE_DEPTH: hidden matrices start at fan_in^-1/2 and learn at 1/m; residual
branches are multiplied by 1/l; the decoupled weight decay of hidden matrices is the same at every width (rate x decay
x m); the embedding's rate depends on neither; an untied head starts at zero and learns at 1/m, a tied one is the
embedding with its logits multiplied by 1/m. Outputs of residual branches start at zero (the network starts as the
identity, loss ln V).

`standard`: hidden matrices start at fan_in^-1/2, residual outputs at (2 depth)^-1/2 of that (GPT-2), the head at
1/width (so that the loss starts near ln V); one rate for every tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.architecture import Architecture

BASE_WIDTH = 64  # the width at which every rate multiplier is 1; the shared learning rate is quoted there
BASE_DEPTH = 2  # the depth at which residual branches are not scaled
EMBEDDING_SCALE = 0.5  # measured on small grids; the embedding is normalised after the lookup
TIED_SCALE = 1 / BASE_WIDTH  # assumption: small enough that the loss starts at ln V


@dataclass(frozen=True)
class Tensor:
    """One parameter tensor of a decoder. Axes name what a dimension counts; blocks are stacked along "depth"."""

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    scale: float  # standard deviation of the initial values; 0 starts at zero
    rate: float  # learning rate / shared learning rate
    decay: float  # decoupled decay per step / (shared learning rate x weight decay); 0 does not decay

    @property
    def matrix(self) -> bool:
        """A stack of hidden matrices, which Muon may take."""
        return self.axes[0] == "depth" and "expert_choice" not in self.axes


def tensors(a: Architecture) -> dict[str, Tensor]:
    """All tensors of the decoder. Dimensions: D width, N depth, G groups, K head width, F MLP width, E experts."""
    n, d, f, k, g, v = a.depth, a.width, a.mlp_width, a.head_width, a.groups, a.vocab_size
    up = (2, f) if a.mlp_matrices == 3 else (f,)
    up_axes = ("gate", "mlp") if a.mlp_matrices == 3 else ("mlp",)
    found = {
        "embedding": _embedding(a, (v, d)),
        # For each key head its queries, the key and the value lie together, so that a shard of groups is whole.
        "qkv": _hidden(a, (n, d, g, a.heads // g + 2, k), ("depth", "width", "groups", "qkv", "head"), d),
        "attention_out": _residual(a, (n, a.heads * k, d), ("depth", "groups", "width"), d),
    }
    if a.experts == 1:
        found["mlp_in"] = _hidden(a, (n, d, *up), ("depth", "width", *up_axes), d)
        # Stored (out, in): measured 1.05x faster on CPUs than (in, out).
        found["mlp_out"] = _residual(a, (n, d, f), ("depth", "width", "mlp"), f)
    else:
        e = a.experts
        found["router"] = _hidden(a, (n, d, e), ("depth", "width", "expert_choice"), d)
        found["mlp_in"] = _hidden(a, (n, e, d, *up), ("depth", "experts", "width", *up_axes), d)
        found["mlp_out"] = _residual(a, (n, e, d, f), ("depth", "experts", "width", "mlp"), f)
    if not a.tied:
        found["head"] = _head(a, (v, d))
    return found


def branch_multiplier(a: Architecture) -> float:
    """What a block adds to the residual stream is multiplied by this."""
    return BASE_DEPTH / a.depth if a.parametrisation == "complete_p" else 1.0


def logit_multiplier(a: Architecture) -> float:
    return BASE_WIDTH / a.width if a.parametrisation == "complete_p" and a.tied else 1.0


def _rate(a: Architecture) -> float:
    return BASE_WIDTH / a.width if a.parametrisation == "complete_p" else 1.0


def _hidden(a: Architecture, shape: tuple[int, ...], axes: tuple[str, ...], fan_in: int) -> Tensor:
    return Tensor(shape, axes, scale=fan_in**-0.5, rate=_rate(a), decay=1.0)


def _residual(a: Architecture, shape: tuple[int, ...], axes: tuple[str, ...], fan_in: int) -> Tensor:
    scale = 0.0 if a.parametrisation == "complete_p" else fan_in**-0.5 * (2 * a.depth) ** -0.5
    return Tensor(shape, axes, scale=scale, rate=_rate(a), decay=1.0)


def _embedding(a: Architecture, shape: tuple[int, ...]) -> Tensor:
    return Tensor(shape, ("vocabulary", "width"), TIED_SCALE if a.tied else EMBEDDING_SCALE, rate=1.0, decay=0.0)


def _head(a: Architecture, shape: tuple[int, ...]) -> Tensor:
    scale = 0.0 if a.parametrisation == "complete_p" else 1.0 / a.width
    return Tensor(shape, ("vocabulary", "width"), scale=scale, rate=_rate(a), decay=0.0)
