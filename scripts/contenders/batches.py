"""Batches of random images and boxes, to be timed with."""

import numpy as np
from ml_collections import ConfigDict

from efdet_jax.structures import Batch

CLASSES, OBJECTS = 90, 10


def random_batch(config: ConfigDict, count: int) -> Batch:
    """Returns random images with `OBJECTS` random boxes each."""
    rng = np.random.default_rng(0)
    rows = config.data.max_boxes
    corners = rng.uniform(0, min(config.image_size), (count, OBJECTS, 2, 2))
    boxes = np.zeros((count, rows, 4), np.float32)
    boxes[:, :OBJECTS] = np.sort(corners, axis=2).reshape(count, OBJECTS, 4)
    classes = np.full((count, rows), -1, np.int32)
    classes[:, :OBJECTS] = rng.integers(CLASSES, size=(count, OBJECTS))
    return Batch(
        image=rng.integers(0, 256, (count, *config.image_size, 3), dtype=np.uint8),
        boxes=boxes,
        classes=classes,
        image_index=np.arange(count, dtype=np.int32),
        scale=np.ones((count, 2), np.float32),
    )
