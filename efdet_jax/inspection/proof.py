"""The proof that a data set is read rightly: its own truth, as detections, is right."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from efdet_jax.data.transforms import has_area, place
from efdet_jax.evaluate import to_image_pixels
from efdet_jax.metrics import coco_figures
from efdet_jax.structures import Annotations


class Proof(NamedTuple):
    """What the truth scores when it is found."""

    ap: float
    """1 if all is well; NaN without objects."""
    wrong_classes: tuple[int, ...]
    """Those whose AP is less than 1."""


def prove(
    annotations: Collection[Annotations],
    *,
    image_size: tuple[int, int],
    resize: str,
    num_classes: int,
) -> Proof:
    """Takes the objects through the network's input and back, and scores them.

    Objects without area are no detections; that they are missed is left out.

    Args:
      annotations: of every image.
      image_size: of the network input.
      resize: a key of `transforms.RESIZES`.
      num_classes: of the data set.
    """
    found = []
    truth = []
    for index, each in enumerate(annotations):
        is_real = has_area(each.boxes)
        truth.append(each._replace(is_crowd=each.is_crowd | ~is_real))
        is_found = is_real & ~each.is_crowd
        placement = place(
            (each.height, each.width),
            output_size=image_size,
            resize=resize,
        )
        in_input = each.boxes[is_found] * np.tile(placement.scale, 2)
        boxes = to_image_pixels(
            in_input.astype(np.float32),
            (1 / np.array(placement.scale)).astype(np.float32),
            (each.height, each.width),
        )
        found.append((np.full(len(boxes), index), boxes, each.classes[is_found]))
    image_index, boxes, classes = map(np.concatenate, zip(*found, strict=True))
    figures = coco_figures(
        truth,
        image_index=image_index,
        boxes=boxes,
        scores=np.ones(len(boxes), np.float32),
        classes=classes,
        num_classes=num_classes,
    )
    wrong = np.flatnonzero(figures.class_ap < 1 - 1e-9)
    return Proof(figures.summary["AP"], tuple(wrong.tolist()))
