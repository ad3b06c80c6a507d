"""Which images a detector gets wrong, and which right."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from efdet_jax.structures import BACKGROUND, Annotations, SplitDetections


class ImageCounts(NamedTuple):
    """What was made of each image."""

    right: Int[np.ndarray, " i"]
    wrong: Int[np.ndarray, " i"]
    missed: Int[np.ndarray, " i"]


def count_by_image(
    annotations: Collection[Annotations],
    found: SplitDetections,
    owner: Int[np.ndarray, " d"],
    *,
    score: float,
) -> ImageCounts:
    """Counts right and wrong detections and missed objects of each image.

    Args:
      annotations: of every image.
      found: all detections.
      owner: what they have found, of `matching.owners`.
      score: from which a detection counts.
    """
    objects = np.array([(~each.is_crowd).sum() for each in annotations], int)
    right, wrong = (
        np.bincount(
            found.image_index[is_so & (found.scores >= score)], minlength=len(objects)
        )
        for is_so in (owner >= 0, owner == BACKGROUND)
    )
    return ImageCounts(right, wrong, objects - right)


def worst_images(counts: ImageCounts, most: int) -> list[int]:
    """Returns the images with most mistakes, the worst first; none without any."""
    mistakes = counts.wrong + counts.missed
    order = np.argsort(-mistakes, kind="stable")
    return [int(i) for i in order[:most] if mistakes[i]]


def best_images(counts: ImageCounts, most: int) -> list[int]:
    """Returns images without any mistake, those with most objects first."""
    is_clean = (counts.wrong + counts.missed == 0) & (counts.right > 0)
    order = np.argsort(-counts.right, kind="stable")
    return [int(i) for i in order if is_clean[i]][:most]
