"""Bringing a pyramid level to the size of another: pooling down, repeating up."""

import functools

import jax
from jax import numpy as jnp

from efdet_jax.models.depthwise import Image, Resized, spread_windows, windows


def max_pool(x: Image, target: tuple[int, int]) -> Resized:
    """Returns `x` shrunk to `target` cells as the reference shrinks pyramid levels.

    Stride (size - 1) // target + 1 along each axis and a window one larger, SAME
    padding.
    """
    strides = {
        (size - 1) // goal + 1 for size, goal in zip(x.shape[1:3], target, strict=True)
    }
    if len(strides) != 1:
        raise ValueError(f"cannot pool {x.shape[1:3]} to {target} with one stride")
    return _window_maximum(x, strides.pop())


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _window_maximum(x: Image, stride: int) -> Resized:
    """Returns the maximum of every window of stride + 1 cells.

    Written, with its gradient, as shifted views: the gradient of XLA's own window
    maximum is a serial scatter on CPU. Where a maximum is attained more than once, as
    in blank parts of an image, its gradient is shared evenly.
    """
    return functools.reduce(jnp.maximum, windows(x, stride + 1, stride, -jnp.inf))


def _window_maximum_backward(
    stride: int, residuals: tuple[Image, Resized], gradient: Resized
) -> tuple[Image]:
    x, y = residuals
    hits = [view == y for view in windows(x, stride + 1, stride, -jnp.inf)]
    share = gradient / functools.reduce(jnp.add, [h.astype(y.dtype) for h in hits])
    spread = functools.partial(
        spread_windows, input_shape=x.shape, window=stride + 1, stride=stride
    )
    maxima = spread(y, padding_value=jnp.inf)
    shares = spread(share, padding_value=0.0)
    return (
        functools.reduce(
            jnp.add,
            [jnp.where(x == m, s, 0.0) for m, s in zip(maxima, shares, strict=True)],
        ),
    )


def _window_maximum_forward(
    x: Image, stride: int
) -> tuple[Resized, tuple[Image, Resized]]:
    y = _window_maximum(x, stride)
    return y, (x, y)


_window_maximum.defvjp(_window_maximum_forward, _window_maximum_backward)


def upsample(x: Image, target: tuple[int, int]) -> Resized:
    """Returns `x` enlarged to `target` cells by nearest neighbour, floor(i * in / out).

    The reference's legacy rule (no half-pixel centres). Exact doubling is written as a
    broadcast, whose gradient is a sum instead of a scatter.
    """
    b, h, w, c = x.shape
    if target == (2 * h, 2 * w):
        doubled = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
        return doubled.reshape(b, 2 * h, 2 * w, c)
    rows = jnp.arange(target[0]) * h // target[0]
    columns = jnp.arange(target[1]) * w // target[1]
    return x[:, rows][:, :, columns]


def resize(x: Image, target: tuple[int, int]) -> Resized:
    """Returns `x` at `target` cells: pooled down, repeated up, or as it is."""
    if x.shape[1:3] == target:
        return x
    return (max_pool if x.shape[1] > target[0] else upsample)(x, target)
