"""The anchor grid, and the one order in which anchors are counted everywhere."""

import numpy as np
from jaxtyping import Float


def feature_sizes(
    image_size: tuple[int, int], levels: tuple[int, int]
) -> dict[int, tuple[int, int]]:
    """Returns the (height, width) in cells of each pyramid level.

    Args:
      image_size: (height, width) of the network input in pixels.
      levels: the first and the last level, both included.
    """
    sizes = [image_size]
    for _ in range(levels[1]):
        height, width = sizes[-1]
        # A convolution of stride 2 with padding "same" rounds up.
        sizes.append(((height - 1) // 2 + 1, (width - 1) // 2 + 1))
    return {level: sizes[level] for level in range(levels[0], levels[1] + 1)}


def anchor_grid(
    image_size: tuple[int, int],
    *,
    levels: tuple[int, int],
    scale: float,
    octaves: int,
    aspect_ratios: tuple[float | tuple[float, float], ...],
) -> Float[np.ndarray, "a 4"]:
    """Returns the anchors of all levels as boxes in pixels of the network input.

    The order is level, row, column, octave, aspect ratio, the last changing fastest.
    The heads flatten their outputs in the same order, and nothing else knows of it.
    Anchors at the border reach out of the image; they are not clipped.

    Source: Lin et al. 2017 (Focal loss), section 4, "Anchors".

    Args:
      image_size: (height, width) of the network input in pixels.
      levels: the first and the last pyramid level, both included.
      scale: side of the smallest square anchor, in strides of its level. The stride is
        image size / feature size, thus no integer where the image is no multiple of it.
      octaves: sizes per level, evenly spaced between one level and the next.
      aspect_ratios: width / height, where the area is that of the square anchor; or a
        pair of factors for its width and height, such as (1.4, 0.7), which is how old
        configs round the ratio 2.
    """
    octave_scales = 2.0 ** (np.arange(octaves) / octaves)
    factors = np.array(
        [
            (ratio[1], ratio[0])
            if isinstance(ratio, tuple)
            else (ratio**-0.5, ratio**0.5)
            for ratio in aspect_ratios
        ]
    )
    # [octave, aspect, (y, x)], in strides
    sizes = scale * octave_scales[:, None, None] * factors
    grids = []
    for height, width in feature_sizes(image_size, levels).values():
        stride = np.array([image_size[0] / height, image_size[1] / width])
        rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        centres = (np.stack([rows, columns], axis=-1) + 0.5) * stride
        centres = centres[:, :, None, None, :]
        half_sizes = sizes * stride / 2
        grid = np.concatenate([centres - half_sizes, centres + half_sizes], axis=-1)
        grids.append(grid.reshape(-1, 4))
    return np.concatenate(grids).astype(np.float32)
