"""Where the windows of a convolution lie, as its kernels are told."""

from typing import NamedTuple

import numpy as np


class Placement(NamedTuple):
    """Stride, and how many rows and columns of zeros precede the image."""

    stride: int
    top: int
    left: int

    def attributes(self) -> dict[str, np.int32]:
        """Returns the attributes of a call."""
        return {name: np.int32(value) for name, value in self._asdict().items()}
