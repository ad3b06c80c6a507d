"""How wrong a box is: losses of single numbers, by name."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float


def huber_loss(error: Float[Array, "*s"], *, delta: float) -> Float[Array, "*s"]:
    """Returns e²/2 up to |e| = delta and the tangent of that parabola beyond.

    Source: Huber 1964, equation 3.3; not divided by delta, unlike "smooth L1".
    """
    clipped = jnp.clip(error, -delta, delta)
    return clipped * (error - clipped / 2)


def smooth_l1_loss(error: Float[Array, "*s"], *, delta: float) -> Float[Array, "*s"]:
    """Returns `huber_loss` divided by delta: a slope of 1 beyond |e| = delta.

    Source: Girshick 2015 (Fast R-CNN), equation 3, whose delta is 1.
    """
    return huber_loss(error, delta=delta) / delta


BOX_LOSSES: dict[str, Callable[..., Float[Array, "..."]]] = {
    "huber": huber_loss,
    "smooth_l1": smooth_l1_loss,
}
"""Given the errors and delta, the loss of each."""
