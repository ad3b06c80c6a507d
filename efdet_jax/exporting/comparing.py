"""How far the detections of two programs are from each other."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from efdet_jax import boxes as boxes_lib
from efdet_jax.structures import Detections


class Tolerance(NamedTuple):
    """What rounding may make of a detection, and no more."""

    boxes: float
    """Pixels, of each side."""
    scores: float


TOLERANCE = Tolerance(boxes=0.1, scores=1e-3)
"""Another order of sums moves boxes by a thousandth of a pixel and scores by 1e-5."""
_COMPARED_SCORE = 0.05
"""What scores less is not compared box by box: there candidates are so near to each
other that rounding decides which is kept first."""


class Difference(NamedTuple):
    """The largest differences over some images."""

    boxes: float
    """Pixels, of one side of a box; 0 where no box is compared."""
    scores: float
    """Of the boxes compared, and of the best of each image whatever it scores."""
    num_compared: int
    """Pairs of boxes."""
    num_alone: int
    """Boxes of either that the other should have, and has not."""

    def is_within(self, tolerance: Tolerance) -> bool:
        """Says whether it can be the work of rounding."""
        # What is not a number is within nothing.
        return (
            self.boxes <= tolerance.boxes
            and self.scores <= tolerance.scores
            and not self.num_alone
        )


def difference(
    expected: Detections, found: Detections, *, score_threshold: float
) -> Difference:
    """Compares what two programs detect in the same images.

    Boxes are paired within a class, those of `expected` taking turns, the best first,
    each with the one that it overlaps most: two that score alike may stand in either
    order.

    Args:
      expected: with images in the first axis.
      found: likewise.
      score_threshold: of the post-processing of both. What is near to it, one of them
        may have and the other not.
    """
    images = [
        _of_image(
            _Image(*(np.asarray(part[i]) for part in expected)),
            _Image(*(np.asarray(part[i]) for part in found)),
            score_threshold,
        )
        for i in range(len(expected.scores))
    ]
    boxes, scores, compared, alone = zip(*images, strict=True)
    return _largest(boxes, scores, num_compared=sum(compared), num_alone=sum(alone))


class _Image(NamedTuple):
    """The detections of one image."""

    boxes: Float[np.ndarray, "d 4"]
    scores: Float[np.ndarray, " d"]
    classes: Int[np.ndarray, " d"]


def _of_image(expected: _Image, found: _Image, score_threshold: float) -> Difference:
    # A detector that has learnt nothing has boxes beyond all numbers.
    with np.errstate(over="ignore", invalid="ignore"):
        overlaps = np.asarray(boxes_lib.iou(expected.boxes, found.boxes))
    partners = _pairs(expected, found, overlaps)
    best = float(abs(expected.scores.max() - found.scores.max()))
    boxes, scores = [0.0], [best]
    for row, partner in partners.items():
        one, other = expected.scores[row], found.scores[partner]
        if not max(one, other) < _COMPARED_SCORE:
            sides = np.abs(expected.boxes[row] - found.boxes[partner])
            boxes.append(float(sides.max()))
            scores.append(float(abs(one - other)))
    alone = _alone(expected.scores, set(partners), found.scores, score_threshold)
    alone += _alone(
        found.scores, set(partners.values()), expected.scores, score_threshold
    )
    return _largest(boxes, scores, num_compared=len(boxes) - 1, num_alone=alone)


def _largest(
    boxes: Sequence[float], scores: Sequence[float], **counts: int
) -> Difference:
    # NumPy's maximum, unlike Python's, lets what is not a number win.
    return Difference(float(np.max(boxes)), float(np.max(scores)), **counts)


def _pairs(
    expected: _Image, found: _Image, overlaps: Float[np.ndarray, "n m"]
) -> dict[int, int]:
    """Returns the row of `found` for each row of `expected` that has one."""
    is_free = found.scores != 0
    partners = {}
    for row in np.flatnonzero(expected.scores != 0):
        is_like = is_free & (found.classes == expected.classes[row])
        likeness = np.where(is_like, overlaps[row], 0.0)
        if likeness.max() > 0:
            partner = int(likeness.argmax())
            partners[int(row)] = partner
            is_free[partner] = False
    return partners


def _alone(
    scores: np.ndarray, paired: set[int], others: np.ndarray, score_threshold: float
) -> int:
    """Counts the boxes without a partner that score clearly above what `others` keep.

    Those keep what scores above the threshold and, with all rows in use, above their
    last one.
    """
    limit = max(_COMPARED_SCORE, score_threshold, others.min()) + TOLERANCE.scores
    rows = np.flatnonzero(scores > limit)
    return sum(row not in paired for row in rows.tolist())
