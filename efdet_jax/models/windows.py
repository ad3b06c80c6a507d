"""Windows of convolutions and pools: where they lie, what is under their taps."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Image = Float[Array, "b h w c"]
Resized = Float[Array, "b _ _ c"]
"""The images and channels of an `Image`, at another size."""

PADDINGS = ("same", "symmetric")
"""Where the first window lies; either way there are ceil(size / stride) of them.

"same" is TensorFlow's: as much padding as is needed, an odd row below and an odd column
to the right. "symmetric" is PyTorch's: window // 2 above and on the left. They differ
where the stride is 2 and the size even.
"""


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
