"""What training makes small: from what the network says of a batch to a number."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float, Int

from efdet_jax.losses import detection_loss, smoothed_cross_entropy
from efdet_jax.structures import Batch, LabelledBatch, Outputs, Targets, Tree
from efdet_jax.targets import assign

Named = dict[str, Float[Array, ""]]


class Objective(NamedTuple):
    """What a batch should be answered with, and what an answer loses."""

    targets: Callable[..., Tree]
    """Batch → what the network should say of it, with a row for each image."""
    share: Callable[..., tuple[Float[Array, ""], Named]]
    """(what the network says of some images of a batch, their targets, the targets of
    the whole batch) → their share of its loss, and of what else there is to log of it.
    The shares of a batch's parts add up."""


def detection_targets(
    batch: Batch, *, anchors: Float[np.ndarray, "a 4"], matching: Mapping[str, float]
) -> Targets:
    """Returns what a detector should say of a batch.

    Args:
      batch: the global one.
      anchors: of the network.
      matching: arguments of `targets.assign`.
    """
    return assign(anchors, batch.boxes, batch.classes, **matching)


def detection(
    outputs: Outputs,
    targets: Targets,
    whole: Tree,
    *,
    loss: Mapping[str, Any],
    class_weights: Float[np.ndarray, " k"] | None = None,
) -> tuple[Float[Array, ""], Named]:
    """Returns the loss of a detector, and its parts.

    Args:
      outputs: for some images of a batch.
      targets: of these images.
      whole: the `Targets` of the global batch.
      loss: arguments of `losses.detection_loss`.
      class_weights: likewise.
    """
    parts = detection_loss(
        outputs,
        targets,
        class_weights=class_weights,
        num_positives=jnp.sum(whole.num_positives),
        **loss,
    )
    num_images = len(whole.num_positives)
    return parts.total, {
        "class_loss": parts.class_,
        "box_loss": parts.box,
        "positives_per_image": jnp.sum(targets.num_positives) / num_images,
    }


def classification_targets(batch: LabelledBatch) -> Int[Array, " b"]:
    """Returns what a classifier should say of a batch."""
    return jnp.asarray(batch.classes)


def classification(
    logits: Float[Array, "b k"],
    classes: Int[Array, " b"],
    whole: Tree,
    *,
    label_smoothing: float,
) -> tuple[Float[Array, ""], Named]:
    """Returns the loss of a classifier, and how many images it names rightly.

    Args:
      logits: for some images of a batch.
      classes: of these images.
      whole: the classes of the global batch.
      label_smoothing: of `losses.smoothed_cross_entropy`.
    """
    num_images = len(whole)
    loss = smoothed_cross_entropy(
        logits, classes, label_smoothing=label_smoothing, num_images=num_images
    )
    is_right = jnp.argmax(logits, axis=1) == classes
    return loss, {"class_loss": loss, "train_top1": jnp.sum(is_right) / num_images}
