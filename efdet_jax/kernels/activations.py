"""The activations that the C++ knows, by number."""

import numpy as np

ACTIVATIONS = ("none", "relu", "relu6", "silu")
"""In the order of source/activations.h."""


def number(activation: str) -> np.int32:
    """Returns the number of one of `ACTIVATIONS`, as an attribute of a call."""
    return np.int32(ACTIVATIONS.index(activation))
