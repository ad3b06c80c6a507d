"""What the input pipeline and evaluation ask of a data set."""

from typing import Protocol

import numpy as np
from jaxtyping import UInt8

from efdet_jax.data.flaws import Flaw
from efdet_jax.data.labels import LabelMap
from efdet_jax.structures import Annotations


class Source(Protocol):
    """A data set with random access: images `0..len - 1` and what is known of them.

    Whoever adds a data set keeps these promises, on which exact resume rests:
      - the same `i` always gives the same answer, in every process and thread;
      - the object can be pickled, and opening it decoded no image;
      - `annotations(i)` does not decode the image where the format allows, for
        evaluation reads the annotations of a whole split;
      - boxes are pixels of the array that `image(i)` returns, which has the stated
        `height` and `width`, and classes are positions in `labels`.
    """

    labels: LabelMap
    flaws: tuple[Flaw, ...]
    """What is wrong with it and was mended; what could not be was refused."""

    def __len__(self) -> int:
        """The number of images, those without objects included."""
        ...

    def title(self, i: int) -> str:
        """Names image `i` in a message: its file, where it is one."""
        ...

    def encoded(self, i: int) -> bytes:
        """Reads what image `i` is decoded from; nothing where it is drawn."""
        ...

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes image `i`, RGB."""
        ...

    def annotations(self, i: int) -> Annotations:
        """Gives what the data set says of image `i`."""
        ...
