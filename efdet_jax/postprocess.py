"""From what the network says of every anchor to the boxes that are kept."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from efdet_jax import boxes as boxes_lib
from efdet_jax.kernels import library, selection
from efdet_jax.structures import BACKGROUND, Detections, Outputs

CLIPS = ("never", "before", "after")
"""When boxes are clipped to the image, seen from suppression."""


def postprocess(
    outputs: Outputs,
    anchors: Float[Array | np.ndarray, "a 4"],
    *,
    image_size: tuple[float, float],
    candidates: str,
    max_candidates: int,
    per_class: bool,
    method: str,
    iou_threshold: float,
    sigma: float,
    score_threshold: float,
    max_detections: int,
    clip: str,
) -> Detections:
    """Returns the best boxes of every image, by the scores that suppression leaves.

    Source: google/automl, tf2/postprocess.py. `postprocess_per_class` never clips,
      `postprocess_global` clips after; `max_nms_inputs` 0 is "best_class" of all, 5000
      (its evaluation) are "pairs". effdet's `DetBenchPredict` is hard, per class, on
      5000 pairs; it clips never, or before where it is told the image's size.
    Differs: rows beyond the last detection are zeros of class `BACKGROUND`.

    Args:
      outputs: logits and codes in anchor order.
      anchors: the grid of `anchors.anchor_grid`.
      image_size: (height, width) to clip to, in pixels of the network input.
      candidates: what suppression looks at, a key of `CANDIDATES`.
      max_candidates: per image, those with the highest scores; 0 takes all.
      per_class: whether boxes suppress those of their own class only.
      method: what a kept box does to the scores of others, a key of `METHODS`.
      iou_threshold: of "hard" and "linear".
      sigma: of "gaussian", in squares of an IoU.
      score_threshold: only what scores above it, suppression included, is kept.
      max_detections: rows in the result.
      clip: one of `CLIPS`.
    """
    choose = CANDIDATES[candidates]
    logits, rows, classes = choose(outputs.class_logits, max_candidates)
    codes = jnp.take_along_axis(outputs.box_codes, rows[..., None], axis=1)
    boxes = boxes_lib.decode(jnp.asarray(anchors)[rows], codes)
    if clip == "before":
        boxes = boxes_lib.clip(boxes, image_size)
    kept, scores = suppress(
        boxes,
        jax.nn.sigmoid(logits),
        classes if per_class else jnp.zeros_like(classes),
        decay=partial(METHODS[method], iou_threshold=iou_threshold, sigma=sigma),
        score_threshold=score_threshold,
        max_detections=max_detections,
    )
    if clip == "after":
        boxes = boxes_lib.clip(boxes, image_size)
    pick = partial(jnp.take_along_axis, axis=1, mode="fill")
    return Detections(
        boxes=pick(boxes, kept[..., None], fill_value=0.0),
        scores=scores,
        classes=pick(classes, kept, fill_value=BACKGROUND),
    )


Candidates = tuple[Float[Array, "b n"], Int[Array, "b n"], Int[Array, "b n"]]
"""Logits, anchor rows and classes of what suppression looks at."""


def top(
    values: Float[Array, "b n"], count: int
) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
    """Returns the `count` highest in descending order, and where they stand."""
    if library.are_usable(values):
        return selection.top(values, count)
    if not library.compiler().has_top_k:
        places = jax.lax.broadcasted_iota(jnp.int32, values.shape, 1)
        best, places = jax.lax.sort((-values, places), num_keys=1)
        return -best[:, :count], places[:, :count]
    best, places = jax.lax.top_k(values, count)
    return best, places


def _ascending(rows: Int[Array, "b n"]) -> Int[Array, "b n"]:
    """Returns every row's numbers in order."""
    if library.compiler().has_sort:
        return jnp.sort(rows, axis=-1)
    _, places = jax.lax.top_k(-rows, rows.shape[-1])
    return jnp.take_along_axis(rows, places, axis=-1)


def best_classes(logits: Float[Array, "b a k"], count: int) -> Candidates:
    """Returns the anchors, each with its best class, ties to the lower one.

    Returns:
      The `count` best in descending order, ties to the lower anchor; where `count` is
      0 or no less than there are, all anchors in their own order: sorting them would
      take longer than suppression does.
    """
    classes = jnp.argmax(logits, axis=-1)
    best = jnp.max(logits, axis=-1)
    num_anchors = best.shape[1]
    if not 0 < count < num_anchors:
        rows = jnp.broadcast_to(jnp.arange(num_anchors)[None], best.shape)
        return best, rows, classes
    best, rows = top(best, count)
    return best, rows, jnp.take_along_axis(classes, rows, axis=1)


def top_pairs(logits: Float[Array, "b a k"], count: int) -> Candidates:
    """Returns the best (anchor, class) pairs; an anchor may be several classes.

    Exactly `top_k` over all a·k pairs, ties to the lower anchor, then the lower class;
    but only the `count` anchors whose best class is best are searched. No other anchor
    can contribute: the best pairs of these anchors all come before each of its own.
    They are searched in anchor order, so that ties fall as they would among all pairs.

    Returns:
      The `count` best in descending order; all where it is 0 or there are fewer.
    """
    _, num_anchors, num_classes = logits.shape
    count = count or num_anchors * num_classes
    _, rows = top(jnp.max(logits, axis=-1), min(count, num_anchors))
    rows = _ascending(rows)
    pairs = jnp.take_along_axis(logits, rows[..., None], axis=1)
    pairs = pairs.reshape(pairs.shape[0], -1)
    best, flat = top(pairs, min(count, pairs.shape[1]))
    # Nothing is negative: plain division, which every compiler knows.
    places = jax.lax.div(flat, jnp.full_like(flat, num_classes))
    rows = jnp.take_along_axis(rows, places, axis=1)
    return best, rows, flat - places * num_classes


CANDIDATES: Mapping[str, Callable[[Float[Array, "b a k"], int], Candidates]] = {
    "best_class": best_classes,
    "pairs": top_pairs,
}

Overlap = Float[Array, "b n"]
Decay = Callable[[Overlap], Overlap]
"""IoU with a kept box → what it leaves of a score."""


def hard(overlap: Overlap, *, iou_threshold: float, sigma: float) -> Overlap:
    """Removes what overlaps by more than `iou_threshold`."""
    return jnp.where(overlap > iou_threshold, 0.0, 1.0)


def linear(overlap: Overlap, *, iou_threshold: float, sigma: float) -> Overlap:
    """Takes the overlap off the scores of what overlaps by more than `iou_threshold`.

    Source: Soft-NMS (arXiv 1704.04503) section 3, equation 2.
    """
    return jnp.where(overlap > iou_threshold, 1.0 - overlap, 1.0)


def gaussian(overlap: Overlap, *, iou_threshold: float, sigma: float) -> Overlap:
    """Lowers every score, the more the larger the overlap.

    Source: Soft-NMS (arXiv 1704.04503) section 3, equation 3.
    """
    return jnp.exp(-jnp.square(overlap) / sigma)


METHODS: Mapping[str, Callable[..., Overlap]] = {
    "hard": hard,
    "linear": linear,
    "gaussian": gaussian,
}


def suppress(
    boxes: Float[Array, "b n 4"],
    scores: Float[Array, "b n"],
    classes: Int[Array, "b n"],
    *,
    decay: Decay,
    score_threshold: float,
    max_detections: int,
) -> tuple[Int[Array, "b d"], Float[Array, "b d"]]:
    """Keeps the best box, lowers the scores of those that overlap it, and so on.

    Args:
      boxes: candidates; of equal scores the first is kept first.
      scores: at least 0.
      classes: only boxes of one class suppress each other.
      decay: what a kept box leaves of a score.
      score_threshold: at least 0; what does not score above it is not kept.
      max_detections: rows to return, d.

    Returns:
      Rows of `boxes`, best first, and the scores with which they were kept; n, one past
      the last row, and 0 where nothing is left to keep.
    """
    num_boxes = scores.shape[1]
    ids = jnp.arange(num_boxes)[None, :]

    def keep_one(left, _):
        score = jnp.max(left, axis=1, keepdims=True)
        # Two plain reductions: XLA's argmax is not vectorised on CPU.
        row = jnp.min(jnp.where(left == score, ids, num_boxes), axis=1, keepdims=True)
        box = jnp.take_along_axis(boxes, row[..., None], axis=1)
        is_rival = classes == jnp.take_along_axis(classes, row, axis=1)
        factor = decay(boxes_lib.iou(box, boxes)[:, 0])
        left = jnp.where(is_rival, left * factor, left)
        left = jnp.where(ids == row, 0.0, left)
        is_kept = score > score_threshold
        rows = jnp.where(is_kept, row, num_boxes)[:, 0]
        return left, (rows, jnp.where(is_kept, score, 0.0)[:, 0])

    _, (rows, kept) = jax.lax.scan(keep_one, scores, length=max_detections)
    return rows.T, kept.T
