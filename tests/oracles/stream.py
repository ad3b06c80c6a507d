"""A data set of counted pixels, and the training stream that was recorded of it."""

import itertools

import numpy as np

from efdet_jax import assemble
from efdet_jax import config as config_lib
from efdet_jax.data import pipeline
from efdet_jax.data.labels import LabelMap
from efdet_jax.structures import Annotations

NUM_BATCHES = 3


class Counted:
    """Eleven images of different sizes whose pixels and boxes follow from indices."""

    labels = LabelMap(ids=(1, 2, 3), names=("a", "b", "c"))

    def __len__(self):
        return 11

    def image(self, i):
        y, x, channel = np.ogrid[: 30 + 3 * i, : 70 - 4 * i, :3]
        return (7 * y + 5 * x + 40 * channel + 31 * i).astype(np.uint8)

    def annotations(self, i):
        height, width = 30 + 3 * i, 70 - 4 * i
        n = np.arange(i, dtype=np.float32)[:, None]
        box = np.array([[1, 2, 12, 15]], np.float32)
        return Annotations(
            image_id=i,
            height=height,
            width=width,
            boxes=box + n * np.array([[1, 1.5, 1.25, 0.75]], np.float32),
            classes=np.arange(i) % 3,
            is_crowd=np.arange(i) == 4,
            area=np.full((i,), 100.0),
        )


def default_batches(**changes):
    """The first batches of training as config.data has it, at a small size."""
    config = config_lib.get_config("table", 0)
    settings = {
        "image_size": (40, 56),
        "batch_size": 4,
        "resize": config.data.resize,
        "pad_colour": assemble.pad_colour(config),
        "max_boxes": 5,
        "flip": config.data.flip,
        "jitter": config.data.jitter,
        "min_visible": config.data.min_visible,
        "augment": config.data.augment.to_dict(),
        "max_broken": 0.0,
        "seed": 3,
        "num_threads": 0,
        "num_workers": 0,
        "shard": (0, 1),
        "patience": 60.0,
    }
    batches = pipeline.train_batches(Counted(), **(settings | changes))
    return list(itertools.islice(batches, NUM_BATCHES))
