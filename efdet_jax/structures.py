"""The records that travel between rooms, and the codes inside them.

Shape letters, used in every signature of the package:
  b images of a batch, h w pixels or cells, c channels, a anchors of all levels,
  m padded ground-truth boxes, n boxes of one image, k classes, d detections kept.

Boxes are `[y0, x0, y1, x1]`, float32, in pixels of the network input unless a name says
otherwise. Class ids are `0..k-1`; the ids of a data set live in `data.labels` only.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

BACKGROUND = -1
"""The class of an anchor that no object claims, and of a padded ground-truth row."""
IGNORED = -2
"""The class of a region whose objects are not told apart, a crowd, and of an anchor
there: what the network says of it is neither right nor wrong."""


class Annotations(NamedTuple):
    """What a data set says of one image, in pixels of that image; host arrays."""

    image_id: int | str
    height: int
    width: int
    boxes: Float[np.ndarray, "n 4"]
    classes: Int[np.ndarray, " n"]
    is_crowd: Bool[np.ndarray, " n"]
    """Regions that nobody rewards or punishes: crowd, difficult."""
    area: Float[np.ndarray, " n"]
    """Object areas as the data set states them; they decide COCO's S, M and L."""

    def without_crowds(self) -> Self:
        """Returns them without the regions that are crowds."""
        kept = ~self.is_crowd
        return self._replace(
            boxes=self.boxes[kept],
            classes=self.classes[kept],
            is_crowd=self.is_crowd[kept],
            area=self.area[kept],
        )


class Batch(NamedTuple):
    """What the input pipeline hands to a step.

    An image's objects come first, then its regions of class `IGNORED`; further rows of
    `boxes` are zero and their class is `BACKGROUND`.
    """

    image: UInt8[Array | np.ndarray, "b h w 3"]
    """RGB, 0..255. Normalised on the device: a quarter of the bytes to move."""
    boxes: Float[Array | np.ndarray, "b m 4"]
    classes: Int[Array | np.ndarray, "b m"]
    image_index: Int[Array | np.ndarray, " b"]
    """Position in the source; -1 for a row that only fills the last batch."""
    scale: Float[Array | np.ndarray, "b 2"]
    """Multiplies rows and columns of the input to give those of the original image."""


class LabelledBatch(NamedTuple):
    """What the input pipeline hands to a step of a classifier."""

    image: UInt8[Array | np.ndarray, "b h w 3"]
    """RGB, 0..255."""
    classes: Int[Array | np.ndarray, " b"]
    """`BACKGROUND` for a row that only fills the last batch."""
    image_index: Int[Array | np.ndarray, " b"]
    """Position in the source; -1 for a row that only fills the last batch."""


class Evaluation(NamedTuple):
    """The figures of a data set, and pictures of its first images."""

    metrics: dict[str, float]
    pictures: list[np.ndarray]
    detections: Callable[[], list[dict[str, Any]]] | None = None
    """Makes what a COCO results file holds, where objects were detected."""


class Outputs(NamedTuple):
    """What the network says of every anchor, in the order of `anchors`."""

    class_logits: Float[Array, "b a k"]
    box_codes: Float[Array, "b a 4"]


class Targets(NamedTuple):
    """What the network should say of every anchor."""

    classes: Int[Array, "b a"]
    box_codes: Float[Array, "b a 4"]
    num_positives: Float[Array, " b"]


class Detections(NamedTuple):
    """The boxes kept for each image, best first; rows beyond the last have score 0."""

    boxes: Float[Array | np.ndarray, "b d 4"]
    scores: Float[Array | np.ndarray, "b d"]
    classes: Int[Array | np.ndarray, "b d"]


class SplitDetections(NamedTuple):
    """Detections of a whole data set, in pixels of its images; host arrays."""

    image_index: Int[np.ndarray, " d"]
    """Position in the source."""
    boxes: Float[np.ndarray, "d 4"]
    scores: Float[np.ndarray, " d"]
    classes: Int[np.ndarray, " d"]
    """Of the network."""

    def of_rows(self, rows: Any) -> Self:
        """Returns some of them, by what NumPy takes for an index."""
        return type(self)(*(field[rows] for field in self))


Tree = Any
"""A pytree of arrays, such as parameters."""
