"""Images of a data set that can be decoded, whatever else is in it."""

import logging
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from efdet_jax.data.source import Source
from efdet_jax.data.underway import reading
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations

_LOG = logging.getLogger(__name__)


class SoundImage(NamedTuple):
    """An image of a data set with what the data set says of it."""

    image: UInt8[np.ndarray, "_ _ 3"]
    annotations: Annotations


def read_sound(source: Source, i: int) -> SoundImage:
    """Reads image `i` with its annotations.

    Raises:
      UsageError: it cannot be read or decoded, or has another size than the data set
        says: then its boxes are of another image, or of one that was turned.
    """
    with reading(source, i):
        annotations = source.annotations(i)
        image = source.image(i)
    stated = (annotations.height, annotations.width)
    if image.shape[:2] != stated:
        height, width = image.shape[:2]
        raise UsageError(
            f"{source.title(i)}: is {height} x {width} pixels (height x width), but its"
            f" annotation says {stated[0]} x {stated[1]}; correct whichever is wrong"
        )
    return SoundImage(image, annotations)


class Sound:
    """The images of a data set, the next one wherever one is broken.

    Which image stands in for which depends on the data alone, so that a run that is
    resumed sees the same. Each broken image is logged once.
    """

    def __init__(self, source: Source, *, max_broken: float):
        """Keeps the data set; reads nothing.

        Args:
          source: the data set.
          max_broken: the share of its images that may be broken.
        """
        self._source = source
        self._max_broken = max_broken
        self._broken: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._source)

    def next_sound(self, i: int) -> SoundImage:
        """Returns image `i` or, if it is broken, the first sound one after it.

        Raises:
          UsageError: more images are broken than may be.
        """
        for step in range(len(self)):
            index = (i + step) % len(self)
            try:
                return read_sound(self._source, index)
            except UsageError as error:
                self._report(index, str(error))
        raise UsageError(f"all {len(self)} images are broken; check the data set")

    def _report(self, i: int, reason: str) -> None:
        # Several threads may find the same image; the first one tells.
        is_new = self._broken.setdefault(i, reason) is reason
        count = len(self._broken)
        if count > self._max_broken * len(self):
            raise UsageError(
                f"{count} of {len(self)} images are broken, which is more than"
                f" config.data.max_broken={self._max_broken}; the last: {reason}"
            )
        if is_new:
            _LOG.warning("%s; the next image stands in for it", reason)
