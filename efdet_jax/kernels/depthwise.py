"""Depthwise convolution and its gradients, as calls of C++."""

import jax
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.kernels import activations
from efdet_jax.kernels.placement import Placement

Image = Float[Array, "b h w c"]
Output = Float[Array, "b rows columns c"]
Kernel = Float[Array, "k k c"]
Vector = Float[Array, " c"]

WINDOWS = (1, 2, 3, 4, 5, 7)
"""Sizes of kernels that there is code for."""


def convolve(
    x: Image, kernel: Kernel, size: tuple[int, int], placement: Placement
) -> Output:
    """Returns each channel convolved with its own kernel.

    Args:
      x: the images.
      kernel: of one of `WINDOWS`.
      size: rows and columns of the output.
      placement: of the windows.
    """
    shape = jax.ShapeDtypeStruct((len(x), *size, x.shape[3]), jnp.float32)
    call = jax.ffi.ffi_call("efdet_jax_depthwise", shape)
    return call(x, kernel, **placement.attributes())


def convolve_activated(
    x: Image,
    before: tuple[Vector, Vector] | None,
    kernel: Kernel,
    bias: Vector,
    size: tuple[int, int],
    placement: Placement,
    *,
    activation: str,
) -> Output:
    """Returns activation(convolve(activation(x * factor + shift)) + bias).

    Args:
      x: the images.
      before: the factor and the shift; None for images that are activated already.
      kernel: see `convolve`, as are size and placement.
      bias: of each channel of the output.
      size: see there.
      placement: see there.
      activation: one of `activations.ACTIVATIONS`.
    """
    shape = jax.ShapeDtypeStruct((len(x), *size, x.shape[3]), jnp.float32)
    call = jax.ffi.ffi_call("efdet_jax_depthwise_activated", shape)
    nothing = jnp.zeros((0,), jnp.float32)
    factor, shift = before or (nothing, nothing)
    return call(
        x,
        factor,
        shift,
        kernel,
        bias,
        **placement.attributes(),
        activation=activations.number(activation),
    )


def gradients(
    x: Image, kernel: Kernel, gradient: Output, placement: Placement
) -> tuple[Image, Kernel]:
    """Returns the gradients of `convolve` with respect to its input and kernel."""
    shapes = tuple(jax.ShapeDtypeStruct(a.shape, jnp.float32) for a in (x, kernel))
    call = jax.ffi.ffi_call("efdet_jax_depthwise_gradients", shapes)
    of_x, of_kernel = call(x, kernel, gradient, **placement.attributes())
    return of_x, of_kernel
