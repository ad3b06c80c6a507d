"""Which classes are taken for which."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Int

from efdet_jax.diagnosis.matching import MATCH_IOU
from efdet_jax.metrics import confusion
from efdet_jax.structures import IGNORED, Annotations, SplitDetections

Matrix = Int[np.ndarray, "rows columns"]


def confusion_matrix(
    annotations: Collection[Annotations],
    found: SplitDetections,
    owner: Int[np.ndarray, " d"],
    num_classes: int,
    *,
    score: float,
) -> Matrix:
    """Returns what objects of each class were taken for, see `metrics.confusion`.

    Args:
      annotations: of every image.
      found: all detections; those in a crowd are left out.
      owner: what they have found, of `matching.owners`.
      num_classes: of the network.
      score: from which a detection counts.
    """
    counted = (found.scores >= score) & (owner != IGNORED)
    return confusion(annotations, found.of_rows(counted), num_classes, iou=MATCH_IOU)


def most_confused(matrix: Matrix, most: int) -> list[int]:
    """Returns the classes with most confusions among them, in their own order.

    Args:
      matrix: whose last row and column are background.
      most: how many classes.
    """
    among = matrix[:-1, :-1] * (1 - np.eye(len(matrix) - 1, dtype=int))
    mistakes = among.sum(axis=0) + among.sum(axis=1)
    # Where there are few confusions, classes that occur say more than others.
    occurring = matrix[:-1].sum(axis=1)
    order = np.lexsort((-occurring, -mistakes))
    return sorted(order[:most].tolist())
