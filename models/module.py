"""The decoder as a module of flax, for those who want one; training takes its functions, and does without flax."""

from __future__ import annotations

import jax
from flax import nnx

from models.architecture import Architecture
from models.decoder import head, hidden, initial_parameters
from models.parametrisation import logit_multiplier, tensors


class Decoder(nnx.Module):
    """One nnx.Param a tensor of models.parametrisation.tensors."""

    def __init__(self, architecture: Architecture, key: jax.Array):
        self.architecture = architecture
        for name, values in initial_parameters(architecture, key).items():
            setattr(self, name, nnx.Param(values))

    def __call__(self, tokens_BxT: jax.Array) -> jax.Array:
        """Logits (B, T, V) in float32; position t sees tokens 0..t only."""
        params = {name: getattr(self, name)[...] for name in tensors(self.architecture)}
        x_BxTxD = hidden(self.architecture, params, tokens_BxT).hidden_BxTxD
        return x_BxTxD @ head(params).T * logit_multiplier(self.architecture)
