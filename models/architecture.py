"""The transformer family: which decoder is it, how many parameters has it, what does a token cost?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import ArchitectureError

if TYPE_CHECKING:
    import jax

    from models.module import Decoder

MLPS = ("squared_relu", "gelu", "swiglu")
GATED = ("swiglu",)
PARAMETRISATIONS = ("complete_p", "standard")


@dataclass(frozen=True)
class ParameterCount:
    """The three counts of N that are always recorded; which one is used moves the fitted exponents."""

    total: int  # all, input embedding and head too
    non_embedding: int  # no input embedding, no head (Kaplan et al. 2020)
    flops: float  # exact forward FLOPs per token / 2, at the context it is trained with
    active: int  # non-embedding parameters that one token meets: experts_per_token of the experts


@dataclass(frozen=True)
class Architecture:
    """A pre-norm decoder with RoPE and parameter-free RMSNorm; every choice is a field."""

    width: int  # D, residual stream
    depth: int  # N, blocks
    heads: int  # H, query heads; the head width is width / heads
    mlp_width: int  # F, of one expert where there are several
    vocab_size: int  # V, rows of the embedding
    queries_per_key: int = 1  # query heads that share one key and value head (grouped queries)
    mlp: str = "squared_relu"  # one of MLPS; the gated ones have a third matrix
    tied: bool = False  # the head is the embedding
    qk_norm: bool = True  # queries and keys are normalised
    experts: int = 1  # E, MLPs per block; 1 is dense
    experts_per_token: int = 1  # how many of them a token is sent to
    parametrisation: str = "complete_p"  # how initial values and rates follow width and depth

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads", "mlp_width", "vocab_size", "queries_per_key", "experts"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ArchitectureError(f"model.{name} is {value!r}; allowed are whole numbers, 1 or more")
        for name in ("tied", "qk_norm"):
            if type(getattr(self, name)) is not bool:
                raise ArchitectureError(f"model.{name} is {getattr(self, name)!r}; allowed are True and False")
        if self.width % (2 * self.heads):
            raise ArchitectureError(
                f"model.width {self.width} with {self.heads} heads: the head width must be a whole even number "
                f"(rotary positions turn pairs); choose a width that is a multiple of {2 * self.heads}"
            )
        if self.heads % self.queries_per_key:
            raise ArchitectureError(
                f"model.queries_per_key is {self.queries_per_key} with {self.heads} heads; allowed are divisors of "
                f"{self.heads}"
            )
        if type(self.experts_per_token) is not int or not 1 <= self.experts_per_token <= self.experts:
            raise ArchitectureError(
                f"model.experts_per_token is {self.experts_per_token!r}; allowed is 1 to model.experts ({self.experts})"
            )
        for name, allowed in (("mlp", MLPS), ("parametrisation", PARAMETRISATIONS)):
            if getattr(self, name) not in allowed:
                raise ArchitectureError(f"model.{name} is {getattr(self, name)!r}; allowed are {', '.join(allowed)}")

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def groups(self) -> int:
        """Key and value heads."""
        return self.heads // self.queries_per_key

    @property
    def mlp_matrices(self) -> int:
        """Matrices of width x mlp_width in one expert."""
        return 3 if self.mlp in GATED else 2

    def count(self, context: int) -> ParameterCount:
        """Closed forms; tests hold them against the built module."""
        return ParameterCount(
            total=self._blocks(self.experts) + self.vocab_size * self.width * (1 if self.tied else 2),
            non_embedding=self._blocks(self.experts),
            flops=self.forward_flops_per_token(context) / 2,
            active=self._blocks(self.experts_per_token),
        )

    def _blocks(self, experts: int) -> int:
        """N (2 D^2 + 2 D K G + m D F e + D E): query and output, keys and values, e experts, the router."""
        mlp = self.mlp_matrices * self.width * self.mlp_width * experts
        return self.depth * (self.attention_parameters + mlp + self.router_parameters)

    @property
    def attention_parameters(self) -> int:
        """Of one block."""
        return 2 * self.width**2 + 2 * self.width * self.head_width * self.groups

    @property
    def router_parameters(self) -> int:
        """Of one block."""
        return self.width * self.experts if self.experts > 1 else 0

    def forward_flops_per_token(self, context: int) -> float:
        """2 (active matrix parameters + V D) + 2 N D (T + 1), averaged over the positions of one sequence.

        A multiply-add is 2 FLOPs. Attention counts its causal half: position t meets t keys, (T + 1)/2 on average,
        at 2 D FLOPs for the scores and 2 D for the weighted sum. Of the experts, those that a token meets. Norms,
        rotations, softmax and lookups are left out (under 2% above width 64).
        """
        matrices = self._blocks(self.experts_per_token) + self.vocab_size * self.width
        attention = self.depth * 4 * self.width * (context + 1) / 2
        return 2 * matrices + attention

    def flops_per_token(self, context: int) -> float:
        """Training FLOPs per token: forward plus a backward of twice the forward (Kaplan et al. 2020, section 2.1)."""
        return 3 * self.forward_flops_per_token(context)

    def build(self, key: jax.Array) -> Decoder:
        """The initialised module."""
        from models.module import Decoder

        return Decoder(self, key)
