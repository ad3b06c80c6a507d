"""What a config sets against the imbalance of its training data's classes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from efdet_jax.data import sampling
from efdet_jax.data.census import objects_per_image
from efdet_jax.data.source import Source
from efdet_jax.losses import class_weights


class Balance(NamedTuple):
    """Of classes in the loss, and of images in an epoch."""

    weights: Float[np.ndarray, " k"] | None
    """Of the classes in the loss; None where all weigh alike."""
    repeats: Float[np.ndarray, " n"] | None
    """How often an epoch shows each image; None where it is once."""


def balance(config: ConfigDict, source: Source) -> Balance:
    """Returns what a config asks for; reads annotations only if it asks for any."""
    if config.class_weights.name == config.data.sampling.name == "none":
        return Balance(None, None)
    counts = objects_per_image(source)
    return Balance(
        class_weights(counts.sum(axis=0), **config.class_weights.to_dict()),
        sampling.repeats(counts, **config.data.sampling.to_dict()),
    )
