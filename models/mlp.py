"""The MLP of a block: plain or gated, dense or a mixture of experts."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from models.architecture import Architecture
from models.linear import narrow, widen

BALANCE_COEFFICIENT = 0.01  # of the load-balancing loss (Fedus et al. 2021, arXiv:2101.03961, section 2.2)


@jax.custom_vjp
def squared_relu(x: jax.Array) -> jax.Array:
    """max(x, 0)^2 (So et al. 2021, arXiv:2109.08668)."""
    return jnp.square(jnp.maximum(x, 0))


# What is kept is x, which is in memory already: to keep max(x, 0) is to write it once more.
squared_relu.defvjp(lambda x: (squared_relu(x), x), lambda x, dy: (2 * jnp.maximum(x, 0) * dy,))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def activate(name: str, x: jax.Array) -> jax.Array:
    """(…, F) from (…, F), or from (…, 2, F) where gated: silu(first) second (Shazeer 2020, arXiv:2002.05202).

    Keeps x alone for its gradient, for which it is computed again: JAX's own rules keep four arrays beside.
    """
    return _activate(name, x)


def _activate(name: str, x: jax.Array) -> jax.Array:
    if name == "swiglu":
        return jax.nn.silu(x[..., 0, :]) * x[..., 1, :]
    return squared_relu(x) if name == "squared_relu" else jax.nn.gelu(x)


def _activate_backward(name: str, x: jax.Array, dy: jax.Array) -> tuple[jax.Array]:
    return jax.vjp(functools.partial(_activate, name), x)[1](dy)


activate.defvjp(lambda name, x: (_activate(name, x), x), _activate_backward)


def dense(a: Architecture, x_BxTxD: jax.Array, mlp_in: jax.Array, mlp_out_DxF: jax.Array) -> jax.Array:
    """mlp_in (D, F), or (D, 2, F) where gated."""
    inner = widen(x_BxTxD, mlp_in.reshape(a.width, -1)).reshape(*x_BxTxD.shape[:2], *mlp_in.shape[1:])
    return narrow(activate(a.mlp, inner), mlp_out_DxF)


def mixture(
    a: Architecture, x_BxTxD: jax.Array, router_DxE: jax.Array, mlp_in: jax.Array, mlp_out_ExDxF: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Every token goes to its experts_per_token likeliest experts, weighted by their probabilities.

    Those of several experts are renormalised. That of one is not: it would be 1 whatever the router says, and the
    router would learn nothing from the loss (Fedus et al. 2021, eq. 2; measured 0.08 nats at 8 experts, width 64).
    No token is dropped: tokens are sorted by expert and each expert multiplies its own (grouped matrix product).
    Also returns the load-balancing loss E sum_e share_e probability_e, which is 1 at perfect balance.
    """
    b, t, d = x_BxTxD.shape
    e, chosen = a.experts, a.experts_per_token
    x = x_BxTxD.reshape(b * t, d)
    probability = jax.nn.softmax((x @ router_DxE).astype(jnp.float32), axis=-1)
    weight, expert = jax.lax.top_k(probability, chosen)
    weight = weight / weight.sum(axis=-1, keepdims=True) if chosen > 1 else weight
    order = jnp.argsort(expert.reshape(-1))  # stable: the sum of a token's experts has one order
    sizes = jnp.bincount(expert.reshape(-1), length=e)
    grouped = jax.lax.ragged_dot(x[order // chosen], mlp_in.reshape(e, d, -1), sizes)
    inner = activate(a.mlp, grouped.reshape(b * t * chosen, *mlp_in.shape[2:]))
    outer = jax.lax.ragged_dot(inner, mlp_out_ExDxF.swapaxes(1, 2), sizes)
    back = outer[jnp.argsort(order)].reshape(b * t, chosen, d)
    mixed = jnp.sum(back * weight[..., None].astype(back.dtype), axis=1).reshape(b, t, d)
    share = sizes / (b * t * chosen)
    return mixed, e * jnp.sum(share * probability.mean(axis=0))
