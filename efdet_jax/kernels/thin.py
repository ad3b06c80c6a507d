"""Convolution of images of few channels, as calls of C++."""

import jax
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.kernels import activations
from efdet_jax.kernels.placement import Placement

Image = Float[Array, "b h w c"]
Output = Float[Array, "b rows columns d"]
Kernel = Float[Array, "k k c d"]

MOST_CHANNELS = 4
"""With more, a matrix product of windows is as fast."""


def convolve(
    x: Image,
    kernel: Kernel,
    bias: Float[Array, " d"],
    size: tuple[int, int],
    placement: Placement,
    *,
    activation: str,
) -> Output:
    """Returns activation(convolution + bias).

    Args:
      x: the images.
      kernel: of the convolution.
      bias: of each channel of the output.
      size: rows and columns of the output.
      placement: of the windows.
      activation: one of `activations.ACTIVATIONS`.
    """
    shape = jax.ShapeDtypeStruct((len(x), *size, kernel.shape[3]), jnp.float32)
    call = jax.ffi.ffi_call("efdet_jax_thin", shape)
    return call(
        x,
        kernel,
        bias,
        **placement.attributes(),
        activation=activations.number(activation),
    )


def kernel_gradient(
    x: Image, gradient: Output, window: int, placement: Placement
) -> Kernel:
    """Returns the gradient of the convolution with respect to its kernel."""
    shape = (window, window, x.shape[3], gradient.shape[3])
    result = jax.ShapeDtypeStruct(shape, jnp.float32)
    call = jax.ffi.ffi_call("efdet_jax_thin_gradient", result)
    return call(x, gradient, **placement.attributes())
