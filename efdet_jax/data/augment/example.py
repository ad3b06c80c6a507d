"""One training image with its objects, between the data set and a batch."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from efdet_jax.data.sound import Sound, SoundImage
from efdet_jax.data.transforms import has_area
from efdet_jax.structures import IGNORED


class Example(NamedTuple):
    """An image and what is to be learnt of it.

    Its axes have no letters, because a call may have several examples of other sizes.
    """

    image: UInt8[np.ndarray, "_ _ 3"]
    boxes: Float[np.ndarray, "_ 4"]
    """[n 4], in pixels of `image`, each with some area."""
    classes: Int[np.ndarray, " _"]
    """[n], `IGNORED` where the box is a region of a crowd."""
    visible: Float[np.ndarray, " _"]
    """[n], what cuts have left of each box so far, as a share of its first area."""
    scale: Float[np.ndarray, " 2"]
    """Multiplies rows and columns to give those of the data set's image."""


def load(sound: Sound, i: int) -> Example:
    """Returns image `i`, or the next one if that is broken."""
    return as_example(sound.next_sound(i))


def as_example(found: SoundImage) -> Example:
    """Returns an image as the data set has it, without boxes that have no area."""
    image, annotations = found
    kept = has_area(annotations.boxes)
    return Example(
        image=image,
        boxes=annotations.boxes[kept],
        classes=np.where(annotations.is_crowd, IGNORED, annotations.classes)[kept],
        visible=np.ones((kept.sum(),), np.float32),
        scale=np.ones((2,)),
    )
