"""Mirroring, cropping and scaling one image together with its boxes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from efdet_jax.data import transforms
from efdet_jax.data.augment.example import Example
from efdet_jax.data.transforms import Colour, Placement, Size
from efdet_jax.structures import IGNORED

_ROUNDING = 1e-4
"""Allowed in the share of a box that is visible, so that a whole box stays whole."""


class Frame(NamedTuple):
    """What images of any size are brought to."""

    output_size: Size
    """Of the network input."""
    resize: str
    """A key of `transforms.RESIZES`."""
    factors: tuple[float, float]
    """Smallest and largest size of an image, as a share of what fits the input."""
    pad_colour: Colour
    """Of what an image leaves free, below and at the right; 0..255."""
    min_visible: float
    """Share of a box's first area that all cuts together must leave, or it is dropped;
    with 0 any area at all will do."""


def flip(example: Example, rng: np.random.Generator, *, probability: float) -> Example:
    """Mirrors left and right, with a probability.

    One number is drawn whatever the probability: it shifts no later draw.
    """
    if rng.random() >= probability:
        return example
    width = example.image.shape[1]
    return example._replace(
        image=transforms.flip_image(example.image),
        boxes=transforms.flip_boxes(example.boxes, width=width),
    )


def random_crop(
    example: Example,
    rng: np.random.Generator,
    *,
    side: tuple[float, float],
    min_visible: float,
) -> Example:
    """Keeps a window of random height, width and place.

    Boxes are clipped to the window. Those of which less than `min_visible` is left are
    dropped: what shows only its edge should not be called by its name.

    Args:
      example: of any size.
      rng: draws height, width, top and left.
      side: smallest and largest height and width of the window, drawn each for itself,
        as shares of the image's.
      min_visible: share of a box's first area that all cuts together must leave.
    """
    sides = np.array(example.image.shape[:2])
    window = np.maximum(1, np.round(rng.uniform(*side, size=2) * sides)).astype(int)
    top, left = (int(v) for v in rng.integers(0, sides - window + 1))
    height, width = (int(v) for v in window)
    start = np.array([top, left, top, left], np.float32)
    limits = np.array([height, width, height, width], np.float32)
    return reframe(
        example,
        image=example.image[top : top + height, left : left + width],
        boxes=np.clip(example.boxes - start, 0, limits),
        zoom=(1.0, 1.0),
        min_visible=min_visible,
    )


def scale_jitter(
    example: Example, rng: np.random.Generator, *, frame: Frame
) -> Example:
    """Scales at random, then crops at random or pads to the size of the input.

    Source: Ghiasi et al. 2021 (Simple Copy-Paste), section 3: standard scale jitter has
      the factors 0.8 to 1.25, large scale jitter 0.1 to 2. The arithmetic is that of
      google/automl, see `transforms.place`.

    Args:
      example: of any size.
      rng: draws the factor and the place of the crop.
      frame: what the example is to fit.
    """
    factor = rng.uniform(*frame.factors)
    crop_y, crop_x = rng.random(2)
    placement = transforms.place(
        example.image.shape[:2],
        output_size=frame.output_size,
        resize=frame.resize,
        scale_factor=factor,
        crop=(crop_y, crop_x),
    )
    return place(example, placement, frame=frame)


def place(example: Example, placement: Placement, *, frame: Frame) -> Example:
    """Resizes, cuts and pads an image and its boxes as a placement says."""
    size = frame.output_size
    placed = reframe(
        example,
        image=transforms.place_image(
            example.image, placement, output_size=size, pad_colour=frame.pad_colour
        ),
        boxes=transforms.place_boxes(example.boxes, placement, output_size=size),
        zoom=(
            placement.scaled_size[0] / placement.image_size[0],
            placement.scaled_size[1] / placement.image_size[1],
        ),
        min_visible=frame.min_visible,
    )
    return placed._replace(scale=example.scale / np.array(placement.scale))


def reframe(
    example: Example,
    *,
    image: UInt8[np.ndarray, "_ _ 3"],
    boxes: Float[np.ndarray, "n 4"],
    zoom: tuple[float, float],
    min_visible: float,
) -> Example:
    """Gives an example another image and its clipped boxes; drops what is cut away.

    Args:
      example: before the cut.
      image: after it.
      boxes: after it, a row for each of the example's.
      zoom: pixels of the new image per pixel of the old one, of rows and of columns.
      min_visible: share of a box's first area that all cuts together must leave.
    """
    left = _areas(boxes) / (_areas(example.boxes) * (zoom[0] * zoom[1]))
    visible = example.visible * left
    # A crowd of which little is left is still no background.
    is_enough = (visible >= min_visible - _ROUNDING) | (example.classes == IGNORED)
    kept = transforms.has_area(boxes) & is_enough
    return example._replace(
        image=image,
        boxes=boxes[kept],
        classes=example.classes[kept],
        visible=visible[kept].astype(np.float32),
    )


def _areas(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, " n"]:
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
