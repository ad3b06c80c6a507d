"""Which objects the anchors can answer for, and which anchors would do better."""

import itertools
import math
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from efdet_jax.anchors import anchor_grid, feature_sizes
from efdet_jax.data.transforms import has_area, place
from efdet_jax.structures import Annotations

MATCH_IOU = 0.5
"""From which an anchor is given an object; an object that no anchor overlaps so much
is left with the best of them."""

WORTH = 0.02
"""Share of objects that other anchors must gain to be advised."""

_SCALES = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
_RATIOS = ((1.0, 2.0, 0.5), (1.0, 1.5, 0.67), (1.0, 3.0, 0.33), (1.0, 4.0, 0.25))


class Advice(NamedTuple):
    """Anchors that fit a data set better, with the network as it is."""

    scale: float
    aspect_ratios: tuple[float, ...]
    share: float
    """Of the objects that they match."""


def boxes_in_input(
    annotations: Collection[Annotations], image_size: tuple[int, int], resize: str
) -> Float[np.ndarray, "n 4"]:
    """Returns all objects that have an area, in pixels of the network's input."""
    placed = [np.zeros((0, 4))]
    for each in annotations:
        kept = has_area(each.boxes) & ~each.is_crowd
        placement = place(
            (each.height, each.width), output_size=image_size, resize=resize
        )
        placed.append(each.boxes[kept] * np.tile(placement.scale, 2))
    return np.concatenate(placed)


def best_iou(
    boxes: Float[np.ndarray, "n 4"],
    image_size: tuple[int, int],
    *,
    levels: tuple[int, int],
    **anchors: Any,
) -> Float[np.ndarray, " n"]:
    """Returns the IoU of each box with the anchor that overlaps it most.

    Of all anchors of one shape that is the one whose centre is nearest, as overlap
    shrinks with the distance on either axis. So a few anchors for each box are enough.

    Args:
      boxes: [y0, x0, y1, x1] in pixels of the network input.
      image_size: of the input.
      levels: of the pyramid.
      **anchors: further arguments of `anchor_grid`.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = boxes[:, 2:] - boxes[:, :2]
    best = np.zeros(len(boxes))
    for level, cells in feature_sizes(image_size, levels).items():
        stride = np.array(image_size) / cells
        grid = anchor_grid(image_size, levels=(level, level), **anchors)
        # The shapes at the first cell are those at any.
        shapes = grid.reshape(cells[0] * cells[1], -1, 4)[0]
        cell = np.clip(np.round(centres / stride - 0.5), 0, np.array(cells) - 1)
        distance = np.abs((cell + 0.5) * stride - centres)
        for size in shapes[:, 2:] - shapes[:, :2]:
            overlap = np.minimum((size + sides) / 2 - distance, np.minimum(size, sides))
            inside = np.maximum(overlap, 0).prod(axis=1)
            union = sides.prod(axis=1) + size.prod() - inside
            best = np.maximum(best, inside / union)
    return best


def share_matched(overlap: Float[np.ndarray, " n"]) -> float:
    """Returns the share of objects with an anchor of `MATCH_IOU`; NaN without any.

    Args:
      overlap: of `best_iou`.
    """
    return float(np.mean(overlap >= MATCH_IOU)) if len(overlap) else math.nan


def advise(
    boxes: Float[np.ndarray, "n 4"],
    image_size: tuple[int, int],
    *,
    levels: tuple[int, int],
    octaves: int,
    share: float,
) -> Advice | None:
    """Returns anchors that match more objects, if there are some to speak of.

    Tries some scales and aspect ratios, as many as the networks have by default, so
    that the heads stay as they are.

    Args:
      boxes: in pixels of the network input.
      image_size: of the input.
      levels: of the pyramid.
      octaves: sizes per level.
      share: that the present anchors match.
    """
    best, fit = None, (0.0, 0.0)
    for scale, ratios in itertools.product(_SCALES, _RATIOS):
        overlap = best_iou(
            boxes,
            image_size,
            levels=levels,
            scale=scale,
            octaves=octaves,
            aspect_ratios=ratios,
        )
        # Of those that match as many, the anchors that overlap them most.
        found = (share_matched(overlap), float(np.mean(overlap)))
        if found > fit:
            best, fit = Advice(scale, ratios, found[0]), found
    return best if best and best.share >= share + WORTH else None
