"""What happens to one image and its boxes between the data set and the network.

Pure functions of one example. Random numbers come in as arguments, so that the caller
draws them and a test can fix them.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

PAD_COLOUR = (124, 116, 104)
"""The mean colour that normalisation subtracts, so that padding becomes about 0."""


class Placement(NamedTuple):
    """How an image is resized and where the network input is cut out of it."""

    image_size: tuple[int, int]
    scaled_size: tuple[int, int]
    """Whole pixels, so that each axis has its own ratio, a little below `scale`."""
    offset: tuple[int, int]
    """First row and column of the scaled image that the network sees."""
    scale: float
    """Input pixels per image pixel, as evaluation uses it to map detections back."""


def place(
    image_size: tuple[int, int],
    *,
    output_size: tuple[int, int],
    scale_factor: float,
    crop: tuple[float, float],
) -> Placement:
    """Decides how an image of some size becomes an input of another, aspect kept.

    The image is made to fit into `scale_factor` times the output size. Where it is then
    larger than the output it is cropped, where it is smaller it lies at the upper left.
    With a factor of 1 this is the letterbox of evaluation.

    Args:
      image_size: height and width of the image, pixels.
      output_size: height and width of the network input, pixels.
      scale_factor: of the random scale jitter; 1 fits the image to the input.
      crop: where the crop lies within the room it has, per axis, 0 to 1.

    Source: google/automl, efficientdet/dataloader.py, `DetectionInputProcessor`.
    """
    target = [int(scale_factor * side) for side in output_size]
    scale = min(t / side for t, side in zip(target, image_size, strict=True))
    scaled = [max(1, int(side * scale)) for side in image_size]
    room = [max(0, s - side) for s, side in zip(scaled, output_size, strict=True)]
    offset = [int(share * r) for share, r in zip(crop, room, strict=True)]
    return Placement(
        image_size=image_size,
        scaled_size=(scaled[0], scaled[1]),
        offset=(offset[0], offset[1]),
        scale=scale,
    )


def place_image(
    image: UInt8[np.ndarray, "h w 3"],
    placement: Placement,
    *,
    output_size: tuple[int, int],
) -> UInt8[np.ndarray, "oh ow 3"]:
    """Resizes, crops and pads an image; pads below and at the right.

    Bilinear with half-pixel centres and, like the reference, no antialiasing when it
    shrinks: the published weights were trained on and are scored with such images.

    Differs: the reference normalises before it resizes; here the network input stays
      uint8 and is rounded after resizing, which moves a pixel by at most one level.
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
        image, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=PAD_COLOUR
    )


def place_boxes(
    boxes: Float[np.ndarray, "n 4"],
    placement: Placement,
    *,
    output_size: tuple[int, int],
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
