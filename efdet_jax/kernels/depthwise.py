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
    x: Image,
    kernel: Kernel,
    bias: Vector,
    size: tuple[int, int],
    placement: Placement,
    *,
    activation: str,
) -> Output:
    """Returns activation(each channel convolved with its own kernel + bias).

    Args:
      x: the images.
      kernel: of one of `WINDOWS`.
      bias: of each channel.
      size: rows and columns of the output.
      placement: of the windows.
      activation: one of `activations.ACTIVATIONS`.
    """
    shape = jax.ShapeDtypeStruct((len(x), *size, x.shape[3]), jnp.float32)
    call = jax.ffi.ffi_call("efdet_jax_depthwise", shape)
    attributes = placement.attributes()
    return call(
        x, kernel, bias, **attributes, activation=activations.number(activation)
    )


def expand_and_convolve(
    x: Float[Array, "b h w d"],
    expand: Float[Array, "d c"],
    factor: Vector,
    shift: Vector,
    kernel: Kernel,
    bias: Vector,
    size: tuple[int, int],
    placement: Placement,
    *,
    activation: str,
) -> Output:
    """Returns `convolve` of activation((x @ expand) * factor + shift).

    Args:
      x: the images.
      expand: the kernel of a 1 x 1 convolution.
      factor: of each of its channels.
      shift: of each of its channels.
      kernel: see `convolve`, as are all others.
      bias: see there.
      size: see there.
      placement: see there.
      activation: see there; after both convolutions.
    """
    shape = jax.ShapeDtypeStruct((len(x), *size, kernel.shape[2]), jnp.float32)
    call = jax.ffi.ffi_call("efdet_jax_depthwise_expanded", shape)
    attributes = placement.attributes() | {"activation": activations.number(activation)}
    return call(x, expand, factor, shift, kernel, bias, **attributes)


def gradients(
    x: Image, kernel: Kernel, gradient: Output, placement: Placement
) -> tuple[Image, Kernel]:
    """Returns the gradients of `convolve` with respect to its input and kernel."""
    shapes = tuple(jax.ShapeDtypeStruct(a.shape, jnp.float32) for a in (x, kernel))
    call = jax.ffi.ffi_call("efdet_jax_depthwise_gradients", shapes)
    of_x, of_kernel = call(x, kernel, gradient, **placement.attributes())
    return of_x, of_kernel
