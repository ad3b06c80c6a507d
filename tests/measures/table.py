"""The parity table: everything that is measured, by name."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from measures import around, detections, forward, lite, training
from measures.rows import Row


class Measure(NamedTuple):
    """A function from a folder of recordings to rows.

    It raises FileNotFoundError where the recording is absent.
    """

    rows: Callable[[Path], Iterator[Row]]
    folder: str
    """"reference" or "data"."""
    is_slow: bool


def _on_reference(rows, *, is_slow=False):
    return Measure(rows, "reference", is_slow)


MEASURES = {
    "automl_h5": _on_reference(
        functools.partial(forward.automl, "d0_256_weights.h5"), is_slow=True
    ),
    "automl_checkpoint": _on_reference(
        functools.partial(forward.automl, "d0_256_tf1ckpt"), is_slow=True
    ),
    "effdet_pth": _on_reference(forward.effdet, is_slow=True),
    "effdet_training": _on_reference(training.effdet, is_slow=True),
    "automl_training": _on_reference(training.automl, is_slow=True),
    "preprocessing": _on_reference(around.preprocessing),
    "anchors": _on_reference(around.anchors),
    "labels": _on_reference(around.labels),
    "losses": _on_reference(around.losses),
    "schedules": _on_reference(around.schedules),
    "averages": _on_reference(around.averages, is_slow=True),
    "automl_detections": _on_reference(detections.automl, is_slow=True),
    "effdet_detections": _on_reference(detections.effdet, is_slow=True),
    "lite0_photo": Measure(lite.photo, "data", is_slow=True),
    "lite0_voc100": Measure(
        functools.partial(lite.voc100, dtype="float32"), "data", is_slow=True
    ),
    "lite0_voc100_bfloat16": Measure(
        functools.partial(lite.voc100, dtype="bfloat16"), "data", is_slow=True
    ),
}
