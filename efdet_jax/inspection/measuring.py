"""What can be counted of a data set's annotations, and how anchors suit them."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from efdet_jax.inspection.coverage import (
    Advice,
    advise,
    best_iou,
    boxes_in_input,
    share_matched,
)
from efdet_jax.inspection.histograms import Numbers
from efdet_jax.structures import Annotations


class Measures(NamedTuple):
    """Of annotations, for the network that is to see them."""

    numbers: Numbers
    matched: float
    """Share of the objects that an anchor overlaps by `MATCH_IOU`; NaN without any."""
    advice: Advice | None


def measure(
    annotations: Collection[Annotations], num_classes: int, config: ConfigDict
) -> Measures:
    """Counts a data set's objects and compares them with the anchors.

    Args:
      annotations: of its images.
      num_classes: of the data set.
      config: of the detector that is to see it.
    """
    image_size = tuple(config.image_size)
    boxes = boxes_in_input(annotations, image_size, config.data.resize)
    anchors = config.model.anchors.to_dict()
    levels = tuple(config.model.levels)
    overlap = best_iou(boxes, image_size, levels=levels, **anchors)
    matched = share_matched(overlap)
    sides = boxes[:, 2:] - boxes[:, :2]
    numbers = Numbers(
        class_counts=np.bincount(
            np.concatenate([np.zeros(0, int), *(a.classes for a in annotations)]),
            minlength=num_classes,
        ),
        boxes_per_image=np.array([len(a.boxes) for a in annotations], int),
        image_sizes=np.array([(a.height, a.width) for a in annotations]).reshape(-1, 2),
        sides=np.sqrt(sides.prod(axis=1)),
        aspects=sides[:, 1] / sides[:, 0],
        anchor_iou=overlap,
    )
    advice = None
    if len(boxes):
        advice = advise(
            boxes,
            image_size,
            levels=levels,
            octaves=anchors["octaves"],
            share=matched,
        )
    return Measures(numbers, matched, advice)
