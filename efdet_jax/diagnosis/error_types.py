"""What kinds of mistakes a detector makes, and what each kind costs."""

import math
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from efdet_jax.diagnosis.matching import MATCH_IOU
from efdet_jax.metrics import tide
from efdet_jax.structures import IGNORED, Annotations, SplitDetections

BACKGROUND_IOU = 0.1
"""Up to which a detection has nothing to do with an object."""

KINDS = {
    "localisation": "an object of its class, overlapped by 0.1 to 0.5 only",
    "classification": "an object, overlapped by 0.5, that is of another class",
    "both": "an object of another class, overlapped by 0.1 to 0.5 only",
    "duplicate": "an object that a better detection has found already",
    "background": "nothing: it overlaps each object by less than 0.1",
    "missed": "an object that no detection of the first two kinds is about",
}
"""Kinds of mistakes, and what was found, or not."""
_TIDE = dict(zip(KINDS, ("Loc", "Cls", "Both", "Dupe", "Bkg", "Miss"), strict=True))


class ErrorTypes(NamedTuple):
    """How often each of `KINDS` occurs, and what it costs."""

    ap50: float
    """With all of the mistakes; NaN without objects."""
    counts: dict[str, int]
    """Detections, of whatever score; of "missed", objects."""
    costs: dict[str, float]
    """AP50 that would be gained if no mistake of the kind, alone, were made."""


def error_types(
    annotations: Collection[Annotations],
    found: SplitDetections,
    owner: Int[np.ndarray, " d"],
    num_classes: int,
) -> ErrorTypes:
    """Sorts all mistakes of a detector into kinds.

    Without its mistake, a misplaced or misnamed detection would be right if its object
    is not found and no better one is about it; any other would not be there. A missed
    object would not be there either: nobody knows what score it would have.

    Args:
      annotations: of every image.
      found: all detections; those in a crowd are no mistakes.
      owner: what they have found, of `matching.owners`.
      num_classes: of the network.
    """
    sorted_out = tide(
        [each.without_crowds() for each in annotations],
        found.of_rows(owner != IGNORED),
        num_classes,
        iou=MATCH_IOU,
        background_iou=BACKGROUND_IOU,
    )
    has_objects = any((~each.is_crowd).any() for each in annotations)
    return ErrorTypes(
        sorted_out.ap50 if has_objects else math.nan,
        {kind: sorted_out.counts[name] for kind, name in _TIDE.items()},
        {kind: sorted_out.costs[name] for kind, name in _TIDE.items()},
    )
