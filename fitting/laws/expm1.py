"""(e^z - 1)/z and ln(e^u + e^v) in forms that the CPU compiler vectorises.

jax.numpy's expm1 and logaddexp are right, but scalar calls in float64 on the CPU: the second derivatives of a law with
several of them take 40 times as long.
"""

from __future__ import annotations

import math
from typing import Any

SERIES_BELOW = 0.3  # where e^z - 1 would lose digits; the first term left out is then below 1e-17
SERIES_TERMS = 13


def relative_growth(z: Any) -> Any:
    """(e^z - 1)/z, 1 at z = 0, with all its derivatives to rounding."""
    import jax.numpy as jnp

    small = jnp.abs(z) < SERIES_BELOW
    near, far = jnp.where(small, z, 0.0), jnp.where(small, 1.0, z)
    series = jnp.zeros_like(near)
    for k in range(SERIES_TERMS, 0, -1):
        series = series * near + 1.0 / math.factorial(k)
    return jnp.where(small, series, (jnp.exp(far) - 1.0) / far)


def log_sum(u: Any, v: Any) -> Any:
    """ln(e^u + e^v) without overflow."""
    import jax
    import jax.numpy as jnp

    # The value does not depend on the larger one being taken out, so that no derivative has to go through it.
    larger = jax.lax.stop_gradient(jnp.maximum(u, v))
    return larger + jnp.log(jnp.exp(u - larger) + jnp.exp(v - larger))
