"""From what the network says of every anchor to the boxes that are kept."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from efdet_jax import boxes as boxes_lib
from efdet_jax.structures import BACKGROUND, Detections, Outputs


def postprocess(
    outputs: Outputs,
    anchors: Float[Array | np.ndarray, "a 4"],
    *,
    image_size: tuple[int, int],
    max_candidates: int,
    max_detections: int,
    iou_threshold: float,
    score_threshold: float,
) -> Detections:
    """Returns the best boxes of every image after suppression within each class.

    The candidates are the best (anchor, class) pairs; an anchor may be several classes.
    Boxes are compared as decoded, and clipped to the image when they are returned.

    Source: google/automl `postprocess_per_class` with hard suppression and
      `max_nms_inputs` = `max_candidates`.
    Differs: its result is not clipped, though the part of a box outside of the image
      can only lower the IoU with an object. (Its `postprocess_global` does clip.)

    Args:
      outputs: logits and codes in anchor order.
      anchors: the grid of `anchors.anchor_grid`.
      image_size: (height, width) of the network input in pixels.
      max_candidates: pairs per image that suppression looks at.
      max_detections: rows in the result.
      iou_threshold: a box whose IoU with a better one of its class is above it goes.
      score_threshold: only pairs that score above it are candidates.

    Returns:
      Detections in descending order of score; rows beyond the last have score 0, class
      `BACKGROUND` and a box of zeros.
    """
    logits, rows, classes = top_pairs(outputs.class_logits, max_candidates)
    codes = jnp.take_along_axis(outputs.box_codes, rows[..., None], axis=1)
    boxes = boxes_lib.decode(jnp.asarray(anchors)[rows], codes)
    scores = jax.nn.sigmoid(logits)
    kept = suppress(
        boxes,
        jnp.where(scores > score_threshold, classes, BACKGROUND),
        max_detections=max_detections,
        iou_threshold=iou_threshold,
    )
    boxes = boxes_lib.clip(boxes, image_size)
    pick = partial(jnp.take_along_axis, axis=1, mode="fill")
    return Detections(
        boxes=pick(boxes, kept[..., None], fill_value=0.0),
        scores=pick(scores, kept, fill_value=0.0),
        classes=pick(classes, kept, fill_value=BACKGROUND),
    )


def top_pairs(
    logits: Float[Array, "b a k"], count: int
) -> tuple[Float[Array, "b n"], Int[Array, "b n"], Int[Array, "b n"]]:
    """Returns the logits, anchors and classes of the best (anchor, class) pairs.

    Exactly `top_k` over all a·k pairs, ties to the lower anchor, then the lower class;
    but only the `count` anchors whose best class is best are searched. No other anchor
    can contribute: the best pairs of these anchors all come before each of its own.
    They are searched in anchor order, so that ties fall as they would among all pairs.

    Returns:
      Descending logits, anchor rows, class ids; n is `count`, or all pairs if fewer.
    """
    _, num_anchors, num_classes = logits.shape
    _, rows = jax.lax.top_k(jnp.max(logits, axis=-1), min(count, num_anchors))
    rows = jnp.sort(rows, axis=-1)
    pairs = jnp.take_along_axis(logits, rows[..., None], axis=1)
    pairs = pairs.reshape(len(pairs), -1)
    best, flat = jax.lax.top_k(pairs, min(count, pairs.shape[1]))
    rows = jnp.take_along_axis(rows, flat // num_classes, axis=1)
    return best, rows, flat % num_classes


def suppress(
    boxes: Float[Array, "b n 4"],
    classes: Int[Array, "b n"],
    *,
    max_detections: int,
    iou_threshold: float,
) -> Int[Array, "b d"]:
    """Returns the rows that greedy non-maximum suppression keeps, best first.

    Args:
      boxes: candidates in descending order of score.
      classes: only boxes of one class suppress each other; `BACKGROUND` is never kept.
      max_detections: rows to return, d.
      iou_threshold: a box whose IoU with a kept one of its class is above it goes.

    Returns:
      Rows of `boxes`; n, one past the last, where nothing is left to keep.
    """
    num_images, num_boxes = classes.shape
    ids = jnp.arange(num_boxes)[None, :]

    def keep_one(step, carry):
        is_left, kept = carry
        best = jnp.min(jnp.where(is_left, ids, num_boxes), axis=1, keepdims=True)
        # Where nothing is left any row will do: there is nothing to suppress either.
        box = jnp.take_along_axis(boxes, best[..., None], axis=1, mode="clip")
        class_ = jnp.take_along_axis(classes, best, axis=1, mode="clip")
        overlap = boxes_lib.iou(box, boxes)[:, 0]
        is_duplicate = (overlap > iou_threshold) & (classes == class_)
        is_left = is_left & ~is_duplicate & (ids != best)
        return is_left, kept.at[:, step].set(best[:, 0])

    kept = jnp.zeros((num_images, max_detections), jnp.int32)
    start = (classes != BACKGROUND, kept)
    return jax.lax.fori_loop(0, max_detections, keep_one, start)[1]
