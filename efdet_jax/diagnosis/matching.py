"""Which detections of an image are right, as COCO decides it."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Bool, Float, Int

from efdet_jax.metrics import overlaps
from efdet_jax.structures import BACKGROUND, IGNORED, Annotations, SplitDetections

MATCH_IOU = 0.5
"""From which a detection has found an object."""


def match(
    boxes: Float[np.ndarray, "n 4"],
    classes: Int[np.ndarray, " n"],
    is_crowd: Bool[np.ndarray, " n"],
    found_boxes: Float[np.ndarray, "d 4"],
    found_scores: Float[np.ndarray, " d"],
    found_classes: Int[np.ndarray, " d"],
) -> Int[np.ndarray, " d"]:
    """Returns the row of the object that each detection of an image has found.

    The best detections choose first, each the object of its class that it overlaps
    most, if nobody has it yet. So detections that are left out, being worse than some
    score, change nothing about the others.

    Args:
      boxes: true boxes.
      classes: their classes; `IGNORED` is a region that is of any class.
      is_crowd: which of them nobody rewards or punishes.
      found_boxes: detections, in the same pixels.
      found_scores: their scores.
      found_classes: their classes.

    Returns:
      `BACKGROUND` for a detection that is wrong, `IGNORED` for one in a crowd.
    """
    overlap = overlaps(found_boxes, boxes, is_crowd)
    may_match = (found_classes[:, None] == classes[None]) | (classes == IGNORED)[None]
    overlap = np.where(may_match & (overlap >= MATCH_IOU), overlap, 0.0)
    owner = np.full(len(found_boxes), BACKGROUND)
    is_free = ~is_crowd
    order = np.argsort(-found_scores, kind="stable")
    for row in order[overlap[order].any(axis=1)]:
        objects = np.where(is_free, overlap[row], 0.0)
        if objects.any():
            # Of equals the last, as in pycocotools.
            best = len(objects) - 1 - int(np.argmax(objects[::-1]))
            owner[row], is_free[best] = best, False
        elif overlap[row, is_crowd].any():
            owner[row] = IGNORED
    return owner


def owners(
    annotations: Collection[Annotations], found: SplitDetections
) -> Int[np.ndarray, " d"]:
    """Returns what `match` says of each detection of a data set.

    Args:
      annotations: of every image.
      found: in any order.
    """
    owner = np.full(len(found.scores), BACKGROUND)
    groups = rows_by_image(found, len(annotations))
    for truth, rows in zip(annotations, groups, strict=True):
        _, boxes, scores, classes = found.of_rows(rows)
        owner[rows] = match(
            truth.boxes, truth.classes, truth.is_crowd, boxes, scores, classes
        )
    return owner


def rows_by_image(
    found: SplitDetections, num_images: int
) -> list[Int[np.ndarray, " _"]]:
    """Returns the rows of the detections of each image, in their order."""
    order = np.argsort(found.image_index, kind="stable")
    ends = np.searchsorted(found.image_index[order], np.arange(num_images), "right")
    return np.split(order, ends)[:num_images]
