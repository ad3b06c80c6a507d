"""Depthwise convolution: one meaning, and a fast path on CPU.

XLA runs a grouped convolution on CPU at about 1 GFLOP/s. The same sum written as k*k
shifted multiply-adds, which XLA fuses into one loop, takes a tenth to a fortieth of the
time, forward and backward (`scripts/bench_depthwise.py`). The gradient of the kernel is
one variadic reduction: every tap in one pass over the input, instead of a pass and a
compiled loop per tap. Elsewhere, XLA's own convolution is used.
"""

import functools

import jax
from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, Float

Image = Float[Array, "b h w c"]
Resized = Float[Array, "b _ _ c"]
"""The images and channels of an `Image`, at another size."""
Kernel = Float[Array, "k k c"]

PADDINGS = ("same", "symmetric")
"""Where the first window lies; either way there are ceil(size / stride) of them.

"same" is TensorFlow's: as much padding as is needed, an odd row below and an odd column
to the right. "symmetric" is PyTorch's: window // 2 above and on the left. They differ
where the stride is 2 and the size even.
"""


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise_conv(x: Image, kernel: Kernel, stride: int, padding: str) -> Resized:
    """Returns each channel of `x` convolved with its own k x k kernel, no bias.

    The output has ceil(size / stride) rows and columns; `padding` is one of `PADDINGS`.
    """
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
    def native(x: Image, kernel: Kernel, gradient: Resized) -> tuple[Image, Kernel]:
        run = functools.partial(_native, stride=stride, padding=padding)
        _, pull = jax.vjp(run, x, kernel)
        return pull(gradient)

    return lax.platform_dependent(
        *residuals,
        gradient,
        cpu=functools.partial(_shifted_gradients, stride=stride, padding=padding),
        default=native,
    )


depthwise_conv.defvjp(_forward, _backward)


def _native(x: Image, kernel: Kernel, *, stride: int, padding: str) -> Resized:
    return convolve(
        x, kernel[:, :, None, :], stride, padding, feature_group_count=x.shape[-1]
    )


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


def fit_windows(
    size: int, window: int, stride: int, padding: str
) -> tuple[int, int, int]:
    """Returns (output size, padding before, padding after) along one axis."""
    output = -(-size // stride)
    total = max((output - 1) * stride + window - size, 0)
    before = total // 2 if padding == "same" else min(window // 2, total)
    return output, before, total - before


def windows(
    x: Image, window: int, stride: int, padding: str, padding_value: float
) -> list[Resized]:
    """Returns the window * window shifted views of padded `x`, row by row.

    View (i, j) holds, for every output cell, the input under tap (i, j).
    """
    b, h, w, c = x.shape
    rows, top, bottom = fit_windows(h, window, stride, padding)
    columns, left, right = fit_windows(w, window, stride, padding)
    framed = jnp.pad(
        x,
        ((0, 0), (top, bottom), (left, right), (0, 0)),
        constant_values=padding_value,
    )
    return [
        lax.slice(
            framed,
            (0, i, j, 0),
            (b, i + (rows - 1) * stride + 1, j + (columns - 1) * stride + 1, c),
            (1, stride, stride, 1),
        )
        for i in range(window)
        for j in range(window)
    ]


def spread_windows(
    output: Resized,
    input_shape: tuple[int, ...],
    window: int,
    stride: int,
    padding: str,
    padding_value: float,
) -> list[Resized]:
    """Returns, for every input cell, the output cell that sees it under tap (i, j).

    The transpose of `windows`, in the same order: where no output cell has the input
    cell under that tap, the view holds `padding_value`.
    """
    b, h, w, c = input_shape
    rows, top, _ = fit_windows(h, window, stride, padding)
    columns, left, _ = fit_windows(w, window, stride, padding)

    def spread(before: int, input_size: int, output_size: int) -> tuple[int, int, int]:
        reach = (output_size - 1) * stride
        return window - 1 - before, input_size + before - 1 - reach, stride - 1

    on_input_grid = lax.pad(
        output,
        jnp.asarray(padding_value, output.dtype),
        ((0, 0, 0), spread(top, h, rows), spread(left, w, columns), (0, 0, 0)),
    )
    return [
        lax.slice(on_input_grid, (0, i, j, 0), (b, i + h, j + w, c))
        for i in reversed(range(window))
        for j in reversed(range(window))
    ]


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
