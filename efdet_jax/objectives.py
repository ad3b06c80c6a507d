"""What training makes small: from what the network says of a batch to a number."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.losses import detection_loss, smoothed_cross_entropy
from efdet_jax.structures import Batch, LabelledBatch, Outputs
from efdet_jax.targets import assign

Named = dict[str, Float[Array, ""]]
Objective = Callable[..., tuple[Float[Array, ""], Named]]
"""(what the network says, batch) → the loss, and what else there is to log of it."""


def detection(
    outputs: Outputs,
    batch: Batch,
    *,
    anchors: Float[np.ndarray, "a 4"],
    matching: Mapping[str, float],
    loss: Mapping[str, Any],
    class_weights: Float[np.ndarray, " k"] | None = None,
) -> tuple[Float[Array, ""], Named]:
    """Returns the loss of a detector, and its parts.

    Args:
      outputs: for the batch.
      batch: the global one.
      anchors: of the network.
      matching: arguments of `targets.assign`.
      loss: arguments of `losses.detection_loss`.
      class_weights: likewise.
    """
    targets = assign(anchors, batch.boxes, batch.classes, **matching)
    parts = detection_loss(outputs, targets, class_weights=class_weights, **loss)
    return parts.total, {
        "class_loss": parts.class_,
        "box_loss": parts.box,
        "positives_per_image": jnp.mean(targets.num_positives),
    }


def classification(
    logits: Float[Array, "b k"], batch: LabelledBatch, *, label_smoothing: float
) -> tuple[Float[Array, ""], Named]:
    """Returns the loss of a classifier, and how many images it names rightly.

    Args:
      logits: for the batch.
      batch: the global one.
      label_smoothing: of `losses.smoothed_cross_entropy`.
    """
    classes = jnp.asarray(batch.classes)
    loss = smoothed_cross_entropy(logits, classes, label_smoothing=label_smoothing)
    is_right = jnp.argmax(logits, axis=1) == classes
    return loss, {"class_loss": loss, "train_top1": jnp.mean(is_right)}
