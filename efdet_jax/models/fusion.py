"""How a node of a neck makes one image of several.

Source: EfficientDet (arXiv 1911.09070) section 3.3; attention: NAS-FPN (arXiv
1904.07392) section 3.
"""

import functools
from collections.abc import Callable

import jax
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.models.layers import Image

Weights = Float[Array, " inputs"]


def fuse_sum(images: list[Image]) -> Image:
    """Returns the plain sum."""
    return functools.reduce(jnp.add, images)


def fuse_attention(images: list[Image]) -> Image:
    """Returns x_0 + sigmoid(max x_0) x_1, plus the images after these two.

    The maximum is over cells, of each channel.

    Source: "global pooling" of NAS-FPN, with the maximum as in its TensorFlow code.
    """
    first, second, *others = images
    gate = jax.nn.sigmoid(jnp.max(first, axis=(1, 2), keepdims=True))
    return fuse_sum([first, gate * second, *others])


def fast(weights: Weights) -> Weights:
    """Returns max(w_i, 0) / (sum_j max(w_j, 0) + 0.0001)."""
    weights = jax.nn.relu(weights)
    return weights / (jnp.sum(weights) + 1e-4)


def unbounded(weights: Weights) -> Weights:
    """Returns the weights as they are, which the paper warns of: they can diverge."""
    return weights


FUSIONS: dict[str, Callable[[list[Image]], Image]] = {
    "sum": fuse_sum,
    "attention": fuse_attention,
}
"""Those without parameters."""
WEIGHTINGS: dict[str, Callable[[Weights], Weights]] = {
    "fast": fast,
    "softmax": jax.nn.softmax,
    "unbounded": unbounded,
}
"""From one learned number for each input to its share of the sum."""
CHOICES = ("sum", *WEIGHTINGS)
"""What a config may ask for; attention is for two images, one of them coarser."""


def fuse_weighted(images: list[Image], weights: Weights, weighting: str) -> Image:
    """Returns the sum with each image times its share, by a key of `WEIGHTINGS`."""
    shares = WEIGHTINGS[weighting](weights).astype(images[0].dtype)
    return fuse_sum([image * shares[i] for i, image in enumerate(images)])
