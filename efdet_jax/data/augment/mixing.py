"""Making one example of several."""

from collections.abc import Sequence

import cv2
import numpy as np

from efdet_jax.data import transforms
from efdet_jax.data.augment import geometry
from efdet_jax.data.augment.example import Example
from efdet_jax.data.augment.geometry import Frame
from efdet_jax.data.transforms import Size

MOSAIC_TILES = 4
_MEETING = (0.25, 0.75)
"""Where the tiles of a mosaic may meet, as a share of each axis."""


def mosaic(
    examples: Sequence[Example], rng: np.random.Generator, *, frame: Frame
) -> Example:
    """Puts four images around a random point, each scaled as it would be alone.

    A tile shows a random part of its image where it is the smaller, and is padded where
    it is the larger. Objects have the sizes that scale jitter gives them.

    Source: Bochkovskiy et al. 2020 (YOLOv4), section 3.3, which leaves the geometry
      open; common implementations cut one scaled canvas of four whole images.

    Args:
      examples: four, of any sizes: upper left, upper right, lower left, lower right.
      rng: draws the point, and for each tile the factor and the part it shows.
      frame: what the whole is to fit.

    Returns:
      An example with the `scale` of its first tile.
    """
    height, width = frame.output_size
    y, x = (round(rng.uniform(*_MEETING) * side) for side in frame.output_size)
    corners = ((0, 0), (0, x), (y, 0), (y, x))
    sizes = ((y, x), (y, width - x), (height - y, x), (height - y, width - x))
    canvas = np.empty((height, width, 3), np.uint8)
    tiles = []
    for example, (top, left), size in zip(examples, corners, sizes, strict=True):
        tile = _tile(example, rng, frame=frame, size=size)
        canvas[top : top + size[0], left : left + size[1]] = tile.image
        shift = np.array([[top, left, top, left]], np.float32)
        tiles.append(tile._replace(boxes=tile.boxes + shift))
    return _joined(tiles, canvas)


def _tile(
    example: Example, rng: np.random.Generator, *, frame: Frame, size: Size
) -> Example:
    """Scales an image for the whole frame and shows a random part of it in a tile."""
    whole = transforms.place(
        example.image.shape[:2],
        output_size=frame.output_size,
        resize=frame.resize,
        scale_factor=rng.uniform(*frame.factors),
        crop=(0.0, 0.0),
    )
    room = np.maximum(0, np.subtract(whole.scaled_size, size))
    top, left = (int(start) for start in rng.random(2) * room)
    part = whole._replace(offset=(top, left))
    return geometry.place(example, part, frame=frame._replace(output_size=size))


def mixup(
    first: Example, second: Example, rng: np.random.Generator, *, beta: float
) -> Example:
    """Lays one image over another of the same size; the objects are those of both.

    Source: Zhang et al. 2018 (mixup); for detection Zhang et al. 2019 (Bag of Freebies
      for Training Object Detection Neural Networks), section 3.1.
    Differs: there an object's loss is weighted by the share of its image. Boxes have no
      weights here, so `beta` should be large enough for both images to be seen.

    Args:
      first: its share of the sum is drawn from Beta(beta, beta).
      second: has the rest.
      rng: draws the share.
      beta: above 0; the larger, the nearer is the share to one half.
    """
    share = rng.beta(beta, beta)
    image = cv2.addWeighted(first.image, share, second.image, 1 - share, 0)
    return _joined([first, second], image)


def _joined(examples: Sequence[Example], image: np.ndarray) -> Example:
    """Returns the image with the objects of all examples, the first one's scale."""
    return Example(
        image=image,
        boxes=np.concatenate([example.boxes for example in examples]),
        classes=np.concatenate([example.classes for example in examples]),
        visible=np.concatenate([example.visible for example in examples]),
        scale=examples[0].scale,
    )
