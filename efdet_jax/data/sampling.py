"""Which image comes next: each once per epoch, or some more often than others.

An image's repeats are how often an epoch shows it, on average: 2.25 is twice, and once
more in every fourth epoch. Each epoch draws anew who is rounded up.
"""

import functools
import math
from collections.abc import Mapping

import grain
import numpy as np
from jaxtyping import Float, Int

SAMPLINGS: Mapping[str, tuple[float, float]] = {
    "oversampling": (1.0, math.inf),
    "undersampling": (0.0, 1.0),
}
"""Fewest and most repeats of an image."""


def repeats(
    counts: Int[np.ndarray, "n k"], *, name: str, threshold: float
) -> Float[np.ndarray, " n"] | None:
    """Returns how often an epoch shows each image; None if each is shown once.

    A class asks for sqrt(threshold / share of the images that have it), and an image
    follows the one of its classes that asks for most: with "oversampling" where that is
    more than once, so that images with rare classes return; with "undersampling" where
    it is less, so that images with frequent classes alone are dropped from many epochs.
    Images without objects are shown once.

    Source: Gupta et al. 2019 (LVIS), repeat factor sampling; "undersampling" is its
      mirror image.

    Args:
      counts: objects of each class in each image.
      name: a key of `SAMPLINGS`, or "none".
      threshold: the share of images, in (0, 1], from which on a class is frequent.
    """
    if name == "none":
        return None
    has = counts > 0
    asked = np.sqrt(threshold / np.maximum(has.mean(axis=0), 1 / len(has)))
    most = np.where(has, asked[None, :], 0.0).max(axis=1)
    return np.where(has.any(axis=1), np.clip(most, *SAMPLINGS[name]), 1.0)


def order(
    num_images: int, repeats: Float[np.ndarray, " n"] | None, *, seed: int
) -> grain.MapDataset:
    """Returns the endless stream of image indices, in a new order each epoch.

    Every epoch is equally long, so that a place in the stream tells epoch and place in
    it: a stopped run resumes exactly. For that the repeats are scaled until their sum
    is a whole number.

    Args:
      num_images: of the data set.
      repeats: of each image; None shows each once.
      seed: of everything random in the stream.
    """
    if repeats is None:
        return grain.MapDataset.range(num_images).seed(seed).shuffle().repeat()
    length = max(1, round(float(repeats.sum())))

    # Two epochs are in use when threads read ahead over the end of one.
    @functools.lru_cache(maxsize=2)
    def images_of(epoch: int) -> Int[np.ndarray, " l"]:
        rng = np.random.default_rng((seed, epoch))
        return _drawn(repeats, length, rng)

    def image_at(place: int, within: int) -> int:
        return int(images_of(place // length)[within])

    places = grain.MapDataset.range(length).seed(seed).repeat()
    return places.map_with_index(image_at)


def _drawn(
    repeats: Float[np.ndarray, " n"], length: int, rng: np.random.Generator
) -> Int[np.ndarray, " l"]:
    """Draws the images of one epoch: each as often as its repeats, rounded up or down.

    The images stand in a row in random order, each as wide as its repeats. Marks at
    equal distances, `length` of them, fall onto them.
    """
    standing = rng.permutation(len(repeats))
    ends = np.cumsum(repeats[standing])
    marks = (np.arange(length) + rng.random()) * (ends[-1] / length)
    # Whatever is not below an end before the last is the last's, rounded or not.
    return rng.permutation(standing[np.searchsorted(ends[:-1], marks, side="right")])
