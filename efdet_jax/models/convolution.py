"""Full convolution: XLA's own, and a fast path on CPU for images of few channels.

The first layer of a network has three channels, for which XLA's convolution on CPU
takes five times as long as a loop in C++.
"""

import functools

import jax
from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.kernels import library
from efdet_jax.kernels import thin as kernels
from efdet_jax.kernels.placement import Placement
from efdet_jax.models.windows import Image, fit_windows

Kernel = Float[Array, "k k c d"]
Output = Float[Array, "b _ _ d"]


def convolve(
    x: Image,
    kernel: Float[Array, "k k _ d"],
    stride: int,
    padding: str,
    *,
    feature_group_count: int = 1,
) -> Float[Array, "b _ _ d"]:
    """Returns XLA's own convolution of `x`, padded by one of `PADDINGS`."""
    window = kernel.shape[0]
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [fit_windows(size, window, stride, padding)[1:] for size in x.shape[1:3]],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=feature_group_count,
    )


def placed(
    x: Image, window: int, stride: int, padding: str
) -> tuple[tuple[int, int], Placement]:
    """Returns the size of a convolution's output, and where its windows lie."""
    fitted = [fit_windows(size, window, stride, padding) for size in x.shape[1:3]]
    (rows, top, _), (columns, left, _) = fitted
    return (rows, columns), Placement(stride, top, left)


def is_thin(x: Image, kernel: Kernel) -> bool:
    """Says whether there is a kernel for a convolution."""
    return x.shape[3] <= kernels.MOST_CHANNELS and library.are_usable(x, kernel)


def full_conv(x: Image, kernel: Kernel, stride: int, padding: str) -> Output:
    """Returns the convolution of `x`, no bias; `padding` is one of `PADDINGS`."""
    conv = _thin_conv if is_thin(x, kernel) else convolve
    return conv(x, kernel, stride, padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _thin_conv(x: Image, kernel: Kernel, stride: int, padding: str) -> Output:
    bias = jnp.zeros(kernel.shape[3], jnp.float32)
    size, placement = placed(x, len(kernel), stride, padding)
    return kernels.convolve(x, kernel, bias, size, placement, activation="none")


def _forward(
    x: Image, kernel: Kernel, stride: int, padding: str
) -> tuple[Output, tuple[Image, Kernel]]:
    return _thin_conv(x, kernel, stride, padding), (x, kernel)


def _backward(
    stride: int, padding: str, residuals: tuple[Image, Kernel], gradient: Output
) -> tuple[Image, Kernel]:
    x, kernel = residuals
    # XLA's, as nothing learns from it in a first layer: it is not even computed.
    _, pull = jax.vjp(lambda x: convolve(x, kernel, stride, padding), x)
    _, placement = placed(x, len(kernel), stride, padding)
    of_kernel = kernels.kernel_gradient(x, gradient, len(kernel), placement)
    return *pull(gradient), of_kernel


_thin_conv.defvjp(_forward, _backward)
