"""Bringing a pyramid level to the size of another: pooling down, repeating up."""

import functools

import jax
from jax import numpy as jnp

from efdet_jax.models.windows import Image, Resized, spread_windows, windows


def shrink(x: Image, target: tuple[int, int], padding: str) -> Resized:
    """Returns `x` shrunk to the `target` cells of a coarser pyramid level.

    By maxima of 3 x 3 cells with stride 2, level by level.
    Differs: over several levels google/automl pools once with a larger window, whose
      stride is not the same for both axes of every image.

    Raises:
      ValueError: halving `x`, rounding up, does not lead to `target`.
    """
    start = x.shape[1:3]
    while x.shape[1:3] != target:
        if x.shape[1] < target[0] or x.shape[2] < target[1]:
            raise ValueError(f"halving {start} does not lead to {target}")
        x = max_pool(x, 3, 2, padding)
    return x


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def max_pool(x: Image, window: int, stride: int, padding: str) -> Resized:
    """Returns the maximum of every window; `padding` is one of `windows.PADDINGS`.

    Written, with its gradient, as shifted views: the gradient of XLA's own window
    maximum is a serial scatter on CPU. Where a maximum is attained more than once, as
    in blank parts of an image, its gradient is shared evenly.
    """
    return functools.reduce(jnp.maximum, windows(x, window, stride, padding, -jnp.inf))


def _max_pool_backward(
    window: int,
    stride: int,
    padding: str,
    residuals: tuple[Image, Resized],
    gradient: Resized,
) -> tuple[Image]:
    x, y = residuals
    hits = [view == y for view in windows(x, window, stride, padding, -jnp.inf)]
    share = gradient / functools.reduce(jnp.add, [h.astype(y.dtype) for h in hits])
    spread = functools.partial(
        spread_windows,
        input_shape=x.shape,
        window=window,
        stride=stride,
        padding=padding,
    )
    maxima = spread(y, padding_value=jnp.inf)
    shares = spread(share, padding_value=0.0)
    return (
        functools.reduce(
            jnp.add,
            [jnp.where(x == m, s, 0.0) for m, s in zip(maxima, shares, strict=True)],
        ),
    )


def _max_pool_forward(
    x: Image, window: int, stride: int, padding: str
) -> tuple[Resized, tuple[Image, Resized]]:
    y = max_pool(x, window, stride, padding)
    return y, (x, y)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


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


def resize(x: Image, target: tuple[int, int], padding: str) -> Resized:
    """Returns `x` at `target` cells: pooled down, repeated up, or as it is."""
    if x.shape[1:3] == target:
        return x
    if x.shape[1] > target[0]:
        return shrink(x, target, padding)
    return upsample(x, target)
