"""What follows a norm or a convolution, by name."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

Activation = Callable[[Float[Array, "..."]], Float[Array, "..."]]


@jax.custom_vjp
def silu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns x * sigmoid(x), keeping only `x` for the backward pass.

    Source: "swish" of arXiv 1710.05941. JAX's own keeps the sigmoid too: as much memory
    again, for an exponential that is cheap to take twice.
    """
    return x * jax.nn.sigmoid(x)


def _silu_backward(
    x: Float[Array, "..."], gradient: Float[Array, "..."]
) -> tuple[Float[Array, "..."]]:
    sigmoid = jax.nn.sigmoid(x)
    return (gradient * sigmoid * (1 + x * (1 - sigmoid)),)


silu.defvjp(lambda x: (silu(x), x), _silu_backward)

ACTIVATIONS: dict[str, Activation] = {
    "silu": silu,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
}


def identity(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns `x`: no activation."""
    return x


NAMES = {identity: "none"} | {act: name for name, act in ACTIVATIONS.items()}
"""What `kernels.activations` calls them."""
