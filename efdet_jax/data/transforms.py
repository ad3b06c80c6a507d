"""What happens to one image and its boxes between the data set and the network.

Pure functions of one example. Random numbers come in as arguments, so that the caller
draws them and a test can fix them.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

Size = tuple[int, int]
"""Height and width, pixels."""
Scale = tuple[float, float]
"""Input pixels per image pixel, of rows and of columns."""
Colour = tuple[float, float, float]
"""Red, green and blue, 0..255."""


def letterbox(image_size: Size, target: Size) -> tuple[Size, Scale]:
    """Returns the size and scale of an image that fits into `target`, its aspect kept.

    The size is in whole pixels: each axis shrinks by a little more than the scale, with
    which evaluation maps detections back.
    """
    # In float32, as the reference has it: in float64 one image in ten would be
    # truncated to another size.
    sides = np.array(image_size, np.float32)
    scale = (np.array(target, np.float32) / sides).min()
    height, width = (max(1, int(side)) for side in sides * scale)
    return (height, width), (float(scale), float(scale))


def stretch(image_size: Size, target: Size) -> tuple[Size, Scale]:
    """Returns the size and scale of an image that fills `target` on each axis."""
    return target, (target[0] / image_size[0], target[1] / image_size[1])


GREY = (128.0, 128.0, 128.0)

PAD_COLOURS: Mapping[str, Callable[[Colour], Colour]] = {
    "mean": lambda mean: mean,
    "grey": lambda _: GREY,
}
"""What surrounds an image, given the mean that normalisation subtracts."""

RESIZES: Mapping[str, Callable[[Size, Size], tuple[Size, Scale]]] = {
    "letterbox": letterbox,
    "stretch": stretch,
}


class Placement(NamedTuple):
    """How an image is resized and where the network input is cut out of it."""

    image_size: Size
    scaled_size: Size
    offset: tuple[int, int]
    """First row and column of the scaled image that the network sees."""
    scale: Scale


def place(
    image_size: Size,
    *,
    output_size: Size,
    resize: str,
    scale_factor: float = 1.0,
    crop: tuple[float, float] = (0.0, 0.0),
) -> Placement:
    """Decides how an image of some size becomes an input of another.

    The image is resized for `scale_factor` times the output size. Where it is then
    larger than the output it is cropped, where it is smaller it lies at the upper left.
    Without factor and crop this is what evaluation sees.

    Args:
      image_size: of the image.
      output_size: of the network input.
      resize: a key of `RESIZES`.
      scale_factor: of the random scale jitter; 1 fits the image to the input.
      crop: where the crop lies within the room it has, per axis, 0 to 1.

    Source: google/automl, efficientdet/dataloader.py, `DetectionInputProcessor`; its
      arithmetic is float32. "stretch" is not among its options.
    """
    target = np.array(output_size, np.float32) * np.float32(scale_factor)
    height, width = (max(1, int(side)) for side in target)
    scaled_size, scale = RESIZES[resize](image_size, (height, width))
    room = np.maximum(0, np.subtract(scaled_size, output_size)).astype(np.float32)
    top, left = (int(start) for start in np.array(crop, np.float32) * room)
    return Placement(image_size, scaled_size, (top, left), scale)


def place_image(
    image: UInt8[np.ndarray, "h w 3"] | Float32[np.ndarray, "h w 3"],
    placement: Placement,
    *,
    output_size: Size,
    pad_colour: Colour,
) -> UInt8[np.ndarray, "oh ow 3"] | Float32[np.ndarray, "oh ow 3"]:
    """Resizes, crops and pads an image; pads below and at the right.

    Bilinear with half-pixel centres and, like the reference, no antialiasing when it
    shrinks: the published weights were trained on and are scored with such images.

    Differs: the reference normalises before it resizes, and rounds nothing. With a
      float32 image the result is the same: exact bilinear to 1e-6 of the range, while
      the reference's float32 sampling positions are up to 1e-5 of the range off. A
      uint8 image, which the input pipeline has for a quarter of the bytes, is rounded,
      and moves by less than one level.

    Args:
      image: RGB, 0..255.
      placement: from `place`, for an image of this size.
      output_size: of the network input.
      pad_colour: the mean that normalisation subtracts makes padding 0; for a uint8
        image it is rounded to whole levels, and padding becomes about 0.
    """
    if placement.scaled_size != placement.image_size:
        height, width = placement.scaled_size
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    top, left = placement.offset
    image = image[top : top + output_size[0], left : left + output_size[1]]
    below, beside = output_size[0] - image.shape[0], output_size[1] - image.shape[1]
    if below == 0 and beside == 0:
        return image
    return cv2.copyMakeBorder(
        image, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=pad_colour
    )


def place_boxes(
    boxes: Float[np.ndarray, "n 4"],
    placement: Placement,
    *,
    output_size: Size,
) -> Float[np.ndarray, "n 4"]:
    """Moves boxes with their image and clips them to the network input.

    A box that is cropped away is left without area; `has_area` finds those.

    Differs: the reference clips to `size - 1`, which cuts a pixel off every object
      that touches the lower or right border; here a box may end at `size`.
    """
    ratio = np.array(placement.scaled_size) / np.array(placement.image_size)
    moved = boxes * np.tile(ratio, 2) - np.tile(placement.offset, 2)
    return np.clip(moved, 0, np.tile(output_size, 2)).astype(np.float32)


def has_area(boxes: Float[np.ndarray, "n 4"]) -> Bool[np.ndarray, " n"]:
    """Says which boxes have a height and a width above zero."""
    y0, x0, y1, x1 = boxes.T
    return (y1 > y0) & (x1 > x0)


def flip_image(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Mirrors an image, left to right."""
    return cv2.flip(image, 1)


def flip_boxes(
    boxes: Float[np.ndarray, "n 4"], *, width: int
) -> Float[np.ndarray, "n 4"]:
    """Mirrors boxes, left to right, within an image of `width` pixels."""
    y0, x0, y1, x1 = boxes.T
    return np.stack([y0, width - x1, y1, width - x0], axis=1)
