"""Which part of an image a classifier sees. Pure functions of one example."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

Size = tuple[int, int]
"""Height and width, pixels."""

_ATTEMPTS = 10


class Crop(NamedTuple):
    """A part of an image, whole pixels."""

    top: int
    left: int
    height: int
    width: int


def random_crop(
    size: Size,
    *,
    area: tuple[float, float],
    aspect: tuple[float, float],
    rng: np.random.Generator,
) -> Crop:
    """Returns a part of random area, aspect and place that lies within the image.

    Where ten draws do not fit into the image, all of it.

    Source: Szegedy et al., Going deeper with convolutions (arXiv 1409.4842), section 6.

    Args:
      size: of the image.
      area: smallest and largest share of the image's area, uniform between.
      aspect: smallest and largest width over height, uniform in logarithm between.
      rng: always asked for as many numbers.
    """
    areas = rng.uniform(*area, _ATTEMPTS) * size[0] * size[1]
    lowest, highest = np.log(aspect)
    aspects = np.exp(rng.uniform(lowest, highest, _ATTEMPTS))
    y, x = rng.random(2)
    heights = np.maximum(1, np.round(np.sqrt(areas / aspects))).astype(int)
    widths = np.maximum(1, np.round(np.sqrt(areas * aspects))).astype(int)
    fits = np.flatnonzero((heights <= size[0]) & (widths <= size[1]))
    if len(fits) == 0:
        return Crop(0, 0, *size)
    height, width = int(heights[fits[0]]), int(widths[fits[0]])
    room = size[0] - height + 1, size[1] - width + 1
    return Crop(int(y * room[0]), int(x * room[1]), height, width)


def central_crop(size: Size, *, output_size: Size, padding: int) -> Crop:
    """Returns the middle of an image, of the network input's aspect.

    Args:
      size: of the image.
      output_size: of the network input.
      padding: how many pixels more the input would need to show the image to its
        nearer borders. 32 of 224 leave out an eighth of the side.

    Source: tensorflow/tpu, models/official/efficientnet/preprocessing.py,
      `_decode_and_center_crop`, for square inputs.
    """
    scale = min(
        side / (wanted + padding)
        for side, wanted in zip(size, output_size, strict=True)
    )
    height, width = (max(1, int(side * scale)) for side in output_size)
    return Crop((size[0] - height + 1) // 2, (size[1] - width + 1) // 2, height, width)


def cut(
    image: UInt8[np.ndarray, "h w 3"], crop: Crop, *, output_size: Size
) -> UInt8[np.ndarray, "oh ow 3"]:
    """Returns a part of an image in the size of the network input.

    Bicubic and, like the reference, without antialiasing where it shrinks.
    """
    rows = slice(crop.top, crop.top + crop.height)
    part = image[rows, crop.left : crop.left + crop.width]
    height, width = output_size
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC)
