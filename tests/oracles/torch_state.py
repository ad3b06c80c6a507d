"""Values for a PyTorch network, by the names of its state dict.

They are drawn by name, so that a recording of the network need not hold its weights.
"""

import zlib

import numpy as np


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns float32 values of some mean and a spread that suit an array so named.

    Activations stay of order 1 through a hundred layers of ReLUs and residuals.
    """
    centre, reach = 0.0, 0.3
    if len(shape) == 4:
        reach = np.sqrt(6 / np.prod(shape[1:]))  # He's deviation, of a uniform draw
    elif name.endswith("running_var"):
        centre = 1.0
    elif name.endswith("weight"):
        centre = 0.5
    unit = np.random.default_rng(zlib.crc32(name.encode())).random(shape, np.float32)
    return (centre + reach * (2 * unit - 1)).astype(np.float32)
