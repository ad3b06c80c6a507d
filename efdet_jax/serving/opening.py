"""The detectors that the page offers: loaded, and past their first call."""

import logging
import pathlib
from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from efdet_jax.inference.detector import load
from efdet_jax.serving.answers import Served

_LOG = logging.getLogger(__name__)

LOWEST_SCORE = 0.01
"""The page gets all that scores above it, and hides what is below its threshold."""


def open_detectors(
    paths: Sequence[str], *, config: ConfigDict | None, labels: Sequence[str] | None
) -> tuple[Served, ...]:
    """Loads detectors and calls each once, which compiles it.

    Args:
      paths: a workdir or a file of weights each.
      config: see `inference.detector.load`, as for the next.
      labels: names of classes.

    Raises:
      UsageError: one of these is wrong.
    """
    served = []
    for path, name in zip(paths, names(paths), strict=True):
        detector = load(
            path, config=config, labels=labels, score_threshold=LOWEST_SCORE
        )
        _LOG.info("%s: %d classes, compiling", name, detector.labels.num_classes)
        detector(np.zeros((*detector.image_size, 3), np.uint8))
        served.append(Served(name, detector))
    return tuple(served)


def names(paths: Sequence[str]) -> list[str]:
    """Returns what to call each path: its last part, or all of it if others share that.

    Args:
      paths: a workdir or a file of weights each.
    """
    short = [pathlib.Path(path).stem or path for path in paths]
    return [
        name if short.count(name) == 1 else path
        for name, path in zip(short, paths, strict=True)
    ]
