"""One training image with its objects, between the data set and a batch."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from efdet_jax.data.source import Source
from efdet_jax.data.transforms import has_area


class Example(NamedTuple):
    """An image and what is to be learnt of it.

    Its axes have no letters, because a call may have several examples of other sizes.
    """

    image: UInt8[np.ndarray, "_ _ 3"]
    boxes: Float[np.ndarray, "_ 4"]
    """[n 4], in pixels of `image`, each with some area."""
    classes: Int[np.ndarray, " _"]
    """[n]."""
    visible: Float[np.ndarray, " _"]
    """[n], what cuts have left of each box so far, as a share of its first area."""
    scale: Float[np.ndarray, " 2"]
    """Multiplies rows and columns to give those of the data set's image."""


def load(source: Source, i: int) -> Example:
    """Returns image `i` without its crowd regions and boxes without area."""
    annotations = source.annotations(i)
    kept = ~annotations.is_crowd & has_area(annotations.boxes)
    return Example(
        image=source.image(i),
        boxes=annotations.boxes[kept],
        classes=annotations.classes[kept],
        visible=np.ones((kept.sum(),), np.float32),
        scale=np.ones((2,)),
    )
