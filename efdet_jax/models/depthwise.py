"""Depthwise convolution: one meaning, and a fast path on CPU.

XLA runs a grouped convolution on CPU at about 1 GFLOP/s. There a loop in C++ takes its
place or, where that cannot be had, the same sum written as k*k shifted multiply-adds,
which XLA fuses into one loop (`scripts/bench_depthwise.py`). The gradient of the kernel
is then one variadic reduction: every tap in one pass over the input, instead of a pass
and a compiled loop per tap. Elsewhere, XLA's own convolution is used.
"""

import functools

import jax
from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.kernels import depthwise as kernels
from efdet_jax.kernels import library
from efdet_jax.models.convolution import convolve, placed
from efdet_jax.models.windows import Image, Resized, spread_windows, windows

Kernel = Float[Array, "k k c"]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise_conv(x: Image, kernel: Kernel, stride: int, padding: str) -> Resized:
    """Returns each channel of `x` convolved with its own k x k kernel, no bias.

    The output has ceil(size / stride) rows and columns; `padding` is one of `PADDINGS`.
    """
    if _has_kernel(x, kernel):
        size, placement = placed(x, len(kernel), stride, padding)
        no_bias = jnp.zeros(x.shape[3])
        return kernels.convolve(x, kernel, no_bias, size, placement, activation="none")
    if not library.compiler().has_platforms:
        return _native(x, kernel, stride=stride, padding=padding)
    return lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(_shifted, stride=stride, padding=padding),
        default=functools.partial(_native, stride=stride, padding=padding),
    )


def _forward(
    x: Image, kernel: Kernel, stride: int, padding: str
) -> tuple[Resized, tuple[Image, Kernel]]:
    return depthwise_conv(x, kernel, stride, padding), (x, kernel)


def _backward(
    stride: int, padding: str, residuals: tuple[Image, Kernel], gradient: Resized
) -> tuple[Image, Kernel]:
    x, kernel = residuals
    if _has_kernel(x, kernel):
        _, placement = placed(x, len(kernel), stride, padding)
        return kernels.gradients(x, kernel, gradient, placement)

    def native(x: Image, kernel: Kernel, gradient: Resized) -> tuple[Image, Kernel]:
        run = functools.partial(_native, stride=stride, padding=padding)
        _, pull = jax.vjp(run, x, kernel)
        return pull(gradient)

    return lax.platform_dependent(
        x,
        kernel,
        gradient,
        cpu=functools.partial(_shifted_gradients, stride=stride, padding=padding),
        default=native,
    )


depthwise_conv.defvjp(_forward, _backward)


def _has_kernel(x: Image, kernel: Kernel) -> bool:
    return len(kernel) in kernels.WINDOWS and library.are_usable(x, kernel)


def _native(x: Image, kernel: Kernel, *, stride: int, padding: str) -> Resized:
    return convolve(
        x, kernel[:, :, None, :], stride, padding, feature_group_count=x.shape[-1]
    )


def _shifted(x: Image, kernel: Kernel, *, stride: int, padding: str) -> Resized:
    size = kernel.shape[0]
    taps = kernel.reshape(size * size, 1, 1, 1, -1)
    views = windows(x, size, stride, padding, 0.0)
    return functools.reduce(jnp.add, [v * t for v, t in zip(views, taps, strict=True)])


def _shifted_gradients(
    x: Image, kernel: Kernel, gradient: Resized, *, stride: int, padding: str
) -> tuple[Image, Kernel]:
    """Returns the gradients of `_shifted` with respect to its input and kernel."""
    size = kernel.shape[0]
    taps = kernel.reshape(size * size, 1, 1, 1, -1)
    views = spread_windows(gradient, x.shape, size, stride, padding, 0.0)
    x_gradient = functools.reduce(
        jnp.add, [view * tap for view, tap in zip(views, taps, strict=True)]
    )
    products = [view * gradient for view in windows(x, size, stride, padding, 0.0)]
    kernel_gradient = channel_sums(products).reshape(kernel.shape)
    return x_gradient, kernel_gradient.astype(kernel.dtype)


def channel_sums(images: list[Image]) -> Float[Array, "images c"]:
    """Returns the sum over batch and cells of each image's channels, in one pass (CPU).

    Reducing only blocks of rows first leaves outer axes for XLA's CPU threads and for
    the devices of a mesh to share; the second, small sum finishes the work.
    """
    b, h, w, c = images[0].shape
    block = max(rows for rows in range(1, 9) if h % rows == 0)
    blocks = [
        image.astype(jnp.float32).reshape(b, h // block, block, w, c)
        for image in images
    ]
    partial = lax.reduce(
        blocks,
        [jnp.zeros((), jnp.float32)] * len(blocks),
        lambda sums, values: [s + v for s, v in zip(sums, values, strict=True)],
        (2, 3),
    )
    return jnp.sum(jnp.stack(partial), axis=(1, 2))
