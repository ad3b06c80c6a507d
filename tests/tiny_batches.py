"""Data sets of a few images, and their batches; for tests."""

import itertools

import numpy as np
from oracles import stream

from efdet_jax import config as config_lib
from efdet_jax.data import pipeline
from efdet_jax.data.labels import LabelMap
from efdet_jax.data.shapes import Shapes
from efdet_jax.structures import Annotations

# The default, and everything else at once.
ON = {
    "crop": 0.5,
    "crop_side": (0.5, 1.0),
    "colour": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1},
    "mosaic": 0.5,
    "mixup": 0.5,
    "mixup_beta": 32.0,
}
OFF = config_lib.get_config("table", 0).data.augment.to_dict()


class Numbered:
    """Images of one grey value, their index; box 0 is a crowd, box 1 has no area."""

    labels = LabelMap(ids=(1, 2), names=("a", "b"))

    def __init__(self, length, *, size=(20, 30), num_boxes=5):
        self._length = length
        self._size = size
        self._num_boxes = num_boxes

    def __len__(self):
        return self._length

    def image(self, i):
        return np.full((*self._size, 3), i, np.uint8)

    def annotations(self, i):
        n = self._num_boxes
        boxes = np.tile(np.array([2, 4, 12, 24], np.float32), (n, 1))
        boxes[:, 1] += np.arange(n)
        boxes[1:2, 2] = boxes[1:2, 0]
        return Annotations(
            image_id=100 + i,
            height=self._size[0],
            width=self._size[1],
            boxes=boxes,
            classes=np.arange(n) % 2,
            is_crowd=np.arange(n) == 0,
            area=np.full((n,), 100.0),
        )


def shapes(**changes):
    settings = {
        "split": "train",
        "seed": 0,
        "num_images": 24,
        "image_size": (48, 64),
        "num_classes": 4,
        "imbalance": 1.0,
        "min_objects": 0,
        "max_objects": 4,
        "min_size": 0.2,
        "max_size": 0.5,
        "clutter": 0.2,
        "overlap": 0.1,
    }
    return Shapes(**(settings | changes))


DRAWN_AND_MIXED = [(shapes(), OFF), (stream.Counted(), ON)]


SETTINGS = {
    "image_size": (64, 64),
    "batch_size": 5,
    "resize": "letterbox",
    "pad_colour": (124.0, 116.0, 104.0),
    "max_boxes": 4,
    "num_threads": 2,
    "num_workers": 0,
    "shard": (0, 1),
    "patience": 60.0,
}


def train(source, **changes):
    settings = SETTINGS | {
        "flip": True,
        "jitter": (0.5, 1.6),
        "min_visible": 0.0,
        "augment": OFF,
        "max_broken": 0.0,
        "seed": 7,
    }
    return pipeline.train_batches(source, **(settings | changes))


def evaluate(source, **changes):
    return list(pipeline.eval_batches(source, **(SETTINGS | changes)))


def take(batches, count):
    return list(itertools.islice(batches, count))


def assert_same(some, others):
    for one, other in zip(some, others, strict=True):
        for x, y in zip(one, other, strict=True):
            np.testing.assert_array_equal(x, y)
