"""The transformer family: which decoder is it, how many parameters has it, what does a token cost?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import ArchitectureError

if TYPE_CHECKING:
    import jax

    from models.decoder import Decoder


@dataclass(frozen=True)
class ParameterCount:
    """The three counts of N that are always recorded; which one is used moves the fitted exponents."""

    total: int  # all, input embedding and head too
    non_embedding: int  # no input embedding, no head (Kaplan et al. 2020)
    flops: float  # exact forward FLOPs per token / 2, at the context it is trained with


@dataclass(frozen=True)
class Architecture:
    """A decoder: RoPE, parameter-free RMSNorm before each block, QK-norm, squared-ReLU MLP, untied head."""

    width: int  # D, residual stream
    depth: int  # N, blocks
    heads: int  # H; the head width is width / heads
    mlp_width: int  # F
    vocab_size: int  # V, rows of the embedding

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads", "mlp_width", "vocab_size"):
            if getattr(self, name) < 1:
                raise ArchitectureError(f"model.{name} is {getattr(self, name)}; allowed is 1 or more")
        if self.width % (2 * self.heads):
            raise ArchitectureError(
                f"model.width {self.width} with {self.heads} heads: the head width must be a whole even number "
                f"(rotary positions turn pairs); choose a width that is a multiple of {2 * self.heads}"
            )

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def count(self, context: int) -> ParameterCount:
        """Closed forms; tests hold them against the built module."""
        block = 4 * self.width**2 + 2 * self.width * self.mlp_width
        non_embedding = self.depth * block
        return ParameterCount(
            total=non_embedding + 2 * self.vocab_size * self.width,
            non_embedding=non_embedding,
            flops=self.forward_flops_per_token(context) / 2,
        )

    def forward_flops_per_token(self, context: int) -> float:
        """2 (12 N D^2-like matrix parameters + V D) + 2 N D (T + 1), averaged over the positions of one sequence.

        A multiply-add is 2 FLOPs. Attention counts its causal half: position t meets t keys, (T + 1)/2 on average,
        at 2 D FLOPs for the scores and 2 D for the weighted sum. Norms, rotations, softmax and lookups are left out
        (under 2% above width 64).
        """
        matrices = self.depth * (4 * self.width**2 + 2 * self.width * self.mlp_width) + self.vocab_size * self.width
        attention = self.depth * 4 * self.width * (context + 1) / 2
        return 2 * matrices + attention

    def flops_per_token(self, context: int) -> float:
        """Training FLOPs per token: forward plus a backward of twice the forward (Kaplan et al. 2020, section 2.1)."""
        return 3 * self.forward_flops_per_token(context)

    def build(self, key: jax.Array) -> Decoder:
        """The initialised module."""
        from models.decoder import Decoder

        return Decoder(self, key)
