"""From which score on a detector's answers are worth most."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class OperatingPoint(NamedTuple):
    """What counting only detections from some score on comes to; NaN without any."""

    score: float
    precision: float
    """Share of the detections that are right."""
    recall: float
    """Share of the objects that are found."""
    f1: float
    """Harmonic mean of the two."""


def best_operating_point(
    scores: Float[np.ndarray, " d"], is_right: Bool[np.ndarray, " d"], num_objects: int
) -> OperatingPoint:
    """Returns the score from which on F1 is greatest; of several, the highest.

    Args:
      scores: of detections, in any order.
      is_right: whether each has found an object.
      num_objects: that there are to be found.
    """
    if not len(scores) or not num_objects:
        return OperatingPoint(*(math.nan,) * 4)
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order], np.cumsum(is_right[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + num_objects)
    # A threshold cannot divide equal scores.
    f1[:-1][ranked[:-1] == ranked[1:]] = -1
    best = int(np.argmax(f1))
    return OperatingPoint(
        score=float(ranked[best]),
        precision=float(right[best] / (best + 1)),
        recall=float(right[best] / num_objects),
        f1=float(f1[best]),
    )
