"""Products with weights, their gradients written so that the smaller operand is the one that gets transposed.

JAX's own rule for y = x W makes the weights' gradient as (dy^T x)^T. A CPU has to copy the transposed operand: x for a
matrix that widens, dy for one that narrows. Measured 1.1x of a training step.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint


@jax.custom_vjp
def widen(x: jax.Array, weights_IxO: jax.Array) -> jax.Array:
    """x W, (…, O) from (…, I), for O >= I."""
    return x @ weights_IxO


def _widen_backward(residuals: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, weights = residuals
    return dy @ weights.T, _product_over_rows(x, dy)


widen.defvjp(lambda x, weights: (x @ weights, (x, weights)), _widen_backward)


@jax.custom_vjp
def merge(x_BxTxHxK: jax.Array, weights_IxO: jax.Array) -> jax.Array:
    """x W of all heads together, I = H K. Keeps x as it came, which the attention that made it keeps already."""
    return _flat(x_BxTxHxK) @ weights_IxO


def _merge_backward(residuals: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, weights = residuals
    dx, dweights = _widen_backward((_flat(x), weights), dy)
    return dx.reshape(x.shape), dweights


def _flat(x_BxTxHxK: jax.Array) -> jax.Array:
    return x_BxTxHxK.reshape(*x_BxTxHxK.shape[:2], -1)


merge.defvjp(lambda x, weights: (_flat(x) @ weights, (x, weights)), _merge_backward)


@jax.custom_vjp
def narrow(x: jax.Array, weights_OxI: jax.Array) -> jax.Array:
    """x W^T, (…, O) from (…, I), for O <= I; the weights are stored (out, in)."""
    return x @ weights_OxI.T


def _narrow_backward(residuals: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, weights = residuals
    return dy @ weights, _product_over_rows(dy, x)


narrow.defvjp(lambda x, weights: (x @ weights.T, (x, weights)), _narrow_backward)


def _product_over_rows(left: jax.Array, right: jax.Array) -> jax.Array:
    """left^T right over all leading axes, (I, O); float32 sums whatever the type."""
    rows = tuple(range(left.ndim - 1))
    product = jax.lax.dot_general(wide(left), wide(right), ((rows, rows), ((), ())), preferred_element_type=jnp.float32)
    return product.astype(right.dtype)


def wide(x: jax.Array) -> jax.Array:
    """An operand of a product that is to have a float32 result: XLA's CPU products know no narrower ones for that."""
    return x.astype(jnp.float32) if jax.default_backend() == "cpu" else x


def unfolded(x: jax.Array) -> jax.Array:
    """x, which XLA is not to transpose by swapping the operands of a product: on a CPU that costs 1.6x of it."""
    return jax.lax.optimization_barrier(x) if jax.default_backend() == "cpu" else x


def laid_out(x: jax.Array) -> jax.Array:
    """x with its last axis together in memory, once and for all its readers. Where it is a transposed product, a CPU's
    readers would each walk it with strides."""
    if jax.default_backend() != "cpu":
        return x
    return with_layout_constraint(unfolded(x), Layout(major_to_minor=tuple(range(x.ndim))))
