"""What an object weighs in the loss, by how often its class occurs."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int


def _effective_number(
    counts: Float[np.ndarray, " c"], beta: float
) -> Float[np.ndarray, " c"]:
    return (1 - beta) / (1 - beta**counts)


WEIGHTINGS: dict[
    str, Callable[[Float[np.ndarray, " c"], float], Float[np.ndarray, " c"]]
] = {
    "inverse_frequency": lambda counts, beta: 1 / counts,
    "effective_number": _effective_number,
}
"""Weights of classes, not yet normalised, given how many objects each has, and beta."""


def class_weights(
    counts: Int[np.ndarray, " k"], *, name: str, beta: float
) -> Float[np.ndarray, " k"] | None:
    """Returns a weight for each class, 1 on average; None if all weigh alike.

    A class that has no object gets 1 and takes no part in the average.

    Source: Cui et al. 2019 (Class-balanced loss), equation 2: n objects of a class show
      (1 - beta^n) / (1 - beta) that are really different. beta = 0 weighs all alike,
      beta → 1 gives the inverse frequency.

    Args:
      counts: objects of each class in the training data.
      name: a key of `WEIGHTINGS`, or "none".
      beta: of "effective_number", in [0, 1).
    """
    if name == "none":
        return None
    is_seen = counts > 0
    of_seen = WEIGHTINGS[name](counts[is_seen].astype(np.float64), beta)
    weights = np.ones(len(counts), np.float32)
    weights[is_seen] = of_seen * len(of_seen) / of_seen.sum()
    return weights
