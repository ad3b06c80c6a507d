"""The loss of a network that chooses one class for each image."""

import jax
from jax import numpy as jnp
from jaxtyping import Array, Float, Int


def smoothed_cross_entropy(
    logits: Float[Array, "b k"],
    classes: Int[Array, " b"],
    *,
    label_smoothing: float,
    num_images: int | None = None,
) -> Float[Array, ""]:
    """Returns the mean over a batch of the cross-entropy with softened targets.

    Given the images of a batch, the losses of its parts add up to the batch's.

    Source: Szegedy et al., Rethinking the Inception architecture (arXiv 1512.00567),
      section 7; EfficientNet trains so with 0.1.

    Args:
      logits: of every class.
      classes: the true ones.
      label_smoothing: in [0, 1); the share that all classes get in equal parts.
      num_images: of the batch that these are a part of; None where they are all of it.
    """
    log_p = jax.nn.log_softmax(logits)
    of_truth = jnp.take_along_axis(log_p, classes[:, None], axis=1)[:, 0]
    of_all = jnp.mean(log_p, axis=1)
    each = (1 - label_smoothing) * of_truth + label_smoothing * of_all
    return -jnp.sum(each) / (num_images or len(classes))
