"""Objects are counted by class and image."""

import numpy as np

from efdet_jax.data.census import objects_per_image
from efdet_jax.data.labels import LabelMap
from efdet_jax.structures import Annotations


class Told:
    """Images of which only classes and crowds are known."""

    labels = LabelMap(ids=(1, 2, 7), names=("a", "b", "c"))

    def __init__(self, *images):
        self._images = images

    def __len__(self):
        return len(self._images)

    def annotations(self, i):
        classes, is_crowd = self._images[i]
        boxes = np.tile(np.array([0, 0, 9, 9], np.float32), (len(classes), 1))
        return Annotations(
            image_id=i,
            height=10,
            width=10,
            boxes=boxes,
            classes=np.array(classes, np.int32),
            is_crowd=np.array(is_crowd, bool),
            area=np.full(len(classes), 81.0),
        )


def test_objects_are_counted_and_crowds_are_not():
    source = Told(([0, 2, 2], [0, 0, 0]), ([], []), ([1, 1, 2], [0, 1, 1]))
    found = objects_per_image(source)
    np.testing.assert_array_equal(found, [[1, 0, 2], [0, 0, 0], [0, 1, 0]])
