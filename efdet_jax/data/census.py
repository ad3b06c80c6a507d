"""Which classes the images of a data set show, and how often."""

import numpy as np
from jaxtyping import Int

from efdet_jax.data.source import Source


def objects_per_image(source: Source) -> Int[np.ndarray, "n k"]:
    """Counts the objects of each class in each image; crowds do not count.

    This reads the annotations of every image.
    """
    counts = np.zeros((len(source), source.labels.num_classes), np.int32)
    for i, row in enumerate(counts):
        found = source.annotations(i)
        np.add.at(row, found.classes[~found.is_crowd], 1)
    return counts
