"""What is wrong with a data set but can be mended, so that reading goes on."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from efdet_jax.errors import printable

FARTHEST = 2**20
"""Pixels: the longest side of an image that OpenCV decodes."""


class Flaw(NamedTuple):
    """A fault of a data set, and what its reader did about it."""

    place: str
    """The file, and the line or the id in it."""
    fault: str
    mended: str

    def __str__(self) -> str:
        return printable(f"{self.place}: {self.fault[:200]}; {self.mended}")


def is_box(boxes: Float[np.ndarray, "n 4"]) -> Bool[np.ndarray, " n"]:
    """Says which [y0, x0, y1, x1] are boxes: near the image, and of no negative size.

    Boxes without area count: evaluation knows objects that are lines or points.
    """
    is_ordered = (boxes[:, 2:] >= boxes[:, :2]).all(axis=1)
    is_near = (np.abs(boxes) < FARTHEST).all(axis=1)
    return np.logical_and(is_near, is_ordered)
