"""An image with one class is one object that fills it.

So every data set is a `Source`, and classes of images are told, numbered and matched
with a network's as those of objects are.
"""

import numpy as np

from efdet_jax.data.source import Source
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations


def whole_image(
    image_id: int | str, height: int, width: int, class_: int
) -> Annotations:
    """Returns what says that an image shows one class."""
    return Annotations(
        image_id=image_id,
        height=height,
        width=width,
        boxes=np.array([[0, 0, height, width]], np.float64),
        classes=np.array([class_], np.int32),
        is_crowd=np.zeros(1, bool),
        area=np.array([height * width], np.float64),
    )


def check_whole(source: Source, name: str) -> None:
    """Checks by its first image that a source names one class for each.

    Raises:
      UsageError: it has objects in places, or none.
    """
    first = source.annotations(0)
    whole = [[0, 0, first.height, first.width]]
    if not np.array_equal(first.boxes, whole):
        raise UsageError(
            f"{name} has {len(first.boxes)} boxes in its first image, not one class for"
            " all of it: use tfds_classes:NAME,SPLIT or crops:SPLIT"
        )
