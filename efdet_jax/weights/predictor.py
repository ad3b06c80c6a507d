"""The class predictor of one set of classes from that of another."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from efdet_jax.data.labels import LabelMap, correspondence

PATHS = {
    "detection": "class_head/predict/pointwise",
    "classification": "head/predict",
}
"""The one layer of a network whose size is the number of classes, by its task."""


def shared_classes(ours: LabelMap, theirs: LabelMap) -> dict[int, int]:
    """Returns {our class: their class} of the classes that have the same name."""
    return {
        class_: other
        for class_, other in enumerate(correspondence(ours, theirs))
        if other is not None
    }


def are_same(ours: LabelMap, theirs: LabelMap) -> bool:
    """Says whether both number the same classes in the same way."""
    if ours.num_classes != theirs.num_classes:
        return False
    classes = range(ours.num_classes)
    return shared_classes(ours, theirs) == dict(zip(classes, classes, strict=True))


def with_shared_rows(
    ours: Float[np.ndarray, "..."],
    theirs: Float[np.ndarray, "..."],
    classes: Mapping[int, int],
    *,
    num_anchors: int,
) -> Float[np.ndarray, "..."]:
    """Returns our predictor's kernel or bias with their values for shared classes.

    Args:
      ours: [… anchors * our classes], classes changing fastest.
      theirs: [… anchors * their classes].
      classes: {our class: their class}.
      num_anchors: per cell.
    """
    mixed, source = (
        array.reshape(*array.shape[:-1], num_anchors, -1) for array in (ours, theirs)
    )
    mixed = mixed.copy()
    mixed[..., list(classes)] = source[..., list(classes.values())]
    return mixed.reshape(ours.shape)
