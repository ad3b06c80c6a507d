"""Times depthwise convolution as we run it against XLA's grouped convolution.

python scripts/bench_depthwise.py

Shapes of D0 at 512 x 512, batch 4; forward alone, and value with both gradients. The
two are timed alternately; a row gives medians in milliseconds and their ratio.
"""

import statistics
import sys
import time
from collections.abc import Callable

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from efdet_jax.memory import keep_memory
from efdet_jax.models.depthwise import depthwise_conv

SHAPES = (  # height = width, channels, window, stride
    (256, 32, 3, 1),
    (256, 96, 3, 2),
    (128, 144, 5, 2),
    (64, 240, 3, 2),
    (32, 672, 5, 1),
    (64, 64, 3, 1),
)
BATCH, REPEATS = 4, 3


def grouped(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Returns the same convolution by XLA's own operation."""
    return lax.conv_general_dilated(
        x,
        kernel[:, :, None, :],
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def alternately(functions: list[Callable], *args: jax.Array) -> list[float]:
    """Returns the median milliseconds of each function, called in turn."""
    seconds: list[list[float]] = [[] for _ in functions]
    for repeat in range(REPEATS + 1):
        for index, function in enumerate(functions):
            start = time.perf_counter()
            jax.block_until_ready(function(*args))
            if repeat:  # The first call compiles.
                seconds[index].append(time.perf_counter() - start)
    return [1e3 * statistics.median(s) for s in seconds]


def main() -> None:
    """Prints one row per shape."""
    rng = np.random.default_rng(0)
    print(f"{'shape':>22}  {'forward: ours':>14} {'grouped':>9} {'ratio':>7}", end="")
    print(f"  {'with gradients: ours':>21} {'grouped':>9} {'ratio':>7}")
    for size, channels, window, stride in SHAPES:
        x = jnp.asarray(rng.normal(size=(BATCH, size, size, channels)), jnp.float32)
        kernel = jnp.asarray(rng.normal(size=(window, window, channels)), jnp.float32)
        row = f"{size:>8}² x{channels:<4} k{window} s{stride}"
        forward, both = [], []
        for conv in (depthwise_conv, grouped):

            def apply(x: jax.Array, kernel: jax.Array, conv=conv) -> jax.Array:
                return conv(x, kernel, stride)  # noqa: B023

            def loss(x: jax.Array, kernel: jax.Array, apply=apply) -> jax.Array:
                return jnp.sum(lax.square(apply(x, kernel)))

            forward.append(jax.jit(apply))
            both.append(jax.jit(jax.value_and_grad(loss, (0, 1))))
        for functions, width in ((forward, 14), (both, 21)):
            ours, theirs = alternately(functions, x, kernel)
            row += f"  {ours:>{width}.2f} {theirs:>9.1f} {ours / theirs:>7.3f}"
        print(row, flush=True)


if __name__ == "__main__":
    keep_memory(sys.orig_argv)
    main()
