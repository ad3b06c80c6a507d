"""Axis-aligned boxes as `[y0, x0, y1, x1]` in pixels of the network input.

This is the only box format inside the package. Other formats are converted at the
edges: on reading in `data`, on writing in `metrics`.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

MIN_SIZE = 1e-8
"""Pixels. Smaller sides are taken as this by `encode`, so that codes stay finite."""


def area(boxes: Float[Array | np.ndarray, "*b n 4"]) -> Float[Array, "*b n"]:
    """Returns the area of every box in square pixels; 0 where a side is negative."""
    y0, x0, y1, x1 = (boxes[..., i] for i in range(4))
    return _product(y1 - y0, x1 - x0)


def iou(
    a: Float[Array | np.ndarray, "*b n 4"], b: Float[Array | np.ndarray, "*b m 4"]
) -> Float[Array, "*b n m"]:
    """Returns the intersection over union of every pair of boxes.

    Returns:
      Values in [0, 1]; 0 wherever either box is empty, so that padding never matches.
    """
    intersection = _intersection(a, b)
    union = area(a)[..., :, None] + area(b)[..., None, :] - intersection
    # The inner choice keeps gradients finite on empty boxes.
    is_overlap = intersection > 0
    return jnp.where(is_overlap, intersection / jnp.where(is_overlap, union, 1.0), 0.0)


def _intersection(
    a: Float[Array | np.ndarray, "*b n 4"], b: Float[Array | np.ndarray, "*b m 4"]
) -> Float[Array, "*b n m"]:
    # One coordinate at a time: XLA vectorises over pairs, never over an axis of 4.
    a_y0, a_x0, a_y1, a_x1 = (a[..., :, None, i] for i in range(4))
    b_y0, b_x0, b_y1, b_x1 = (b[..., None, :, i] for i in range(4))
    return _product(
        jnp.minimum(a_y1, b_y1) - jnp.maximum(a_y0, b_y0),
        jnp.minimum(a_x1, b_x1) - jnp.maximum(a_x0, b_x0),
    )


def coverage(
    regions: Float[Array | np.ndarray, "*b n 4"],
    boxes: Float[Array | np.ndarray, "*b m 4"],
) -> Float[Array, "*b n m"]:
    """Returns what share of every box lies in every region, 0 of an empty box."""
    inside = _intersection(regions, boxes)
    size = area(boxes)[..., None, :]
    return jnp.where(inside > 0, inside / jnp.where(inside > 0, size, 1.0), 0.0)


def clip(
    boxes: Float[Array | np.ndarray, "*b n 4"], image_size: tuple[float, float]
) -> Float[Array, "*b n 4"]:
    """Moves every corner that lies outside an image of (height, width) to its edge."""
    height, width = image_size
    limits = jnp.asarray([height, width, height, width], jnp.float32)
    return jnp.clip(boxes, 0.0, jnp.broadcast_to(limits, boxes.shape))


def encode(
    anchors: Float[Array | np.ndarray, "*b n 4"],
    boxes: Float[Array | np.ndarray, "*b n 4"],
) -> Float[Array, "*b n 4"]:
    """Returns what turns each anchor into the box of the same row.

    The code is `[ty, tx, th, tw]`: the shift of the centre in heights and widths of the
    anchor, then the logarithms of the ratios of height and width.

    Source: Girshick et al. 2014 (R-CNN), appendix C; no scaling by variances.
    """
    anchor_centre, anchor_size = _centre_and_size(anchors)
    centre, size = _centre_and_size(boxes)
    shift = (centre - anchor_centre) / jnp.maximum(anchor_size, MIN_SIZE)
    ratio = jnp.maximum(size, MIN_SIZE) / jnp.maximum(anchor_size, MIN_SIZE)
    return jnp.concatenate([shift, jnp.log(ratio)], axis=-1)


def decode(
    anchors: Float[Array | np.ndarray, "*b n 4"],
    codes: Float[Array | np.ndarray, "*b n 4"],
) -> Float[Array, "*b n 4"]:
    """Returns the box that each code makes of its anchor; the inverse of `encode`.

    Sizes are not limited before the exponential: a wild code gives a wild box.
    """
    anchor_centre, anchor_size = _centre_and_size(anchors)
    centre = anchor_centre + codes[..., :2] * anchor_size
    half_size = jnp.exp(codes[..., 2:]) * anchor_size / 2
    return jnp.concatenate([centre - half_size, centre + half_size], axis=-1)


def _product(
    height: Float[Array | np.ndarray, "*s"], width: Float[Array | np.ndarray, "*s"]
) -> Float[Array, "*s"]:
    # With `where` last, no compiler can fuse this product and the sum it goes into. In
    # one fused rounding, anchors that overlap an object equally no longer tie, and the
    # winner would depend on the backend and on the number of devices.
    return jnp.where((height > 0) & (width > 0), height * width, 0.0)


def _centre_and_size(
    boxes: Float[Array | np.ndarray, "*b n 4"],
) -> tuple[
    Float[Array | np.ndarray, "*b n 2"],
    Float[Array | np.ndarray, "*b n 2"],
]:
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + size / 2, size
