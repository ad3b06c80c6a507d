"""The loss of a batch: classes and boxes, each by the loss that its name says."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from efdet_jax.losses.boxes import BOX_LOSSES
from efdet_jax.losses.classes import CLASS_LOSSES
from efdet_jax.structures import BACKGROUND, IGNORED, Outputs, Targets


class Losses(NamedTuple):
    """What `detection_loss` minimises, and its two parts before weighting."""

    total: Float[Array, ""]
    class_: Float[Array, ""]
    box: Float[Array, ""]


def class_losses(
    logits: Float[Array, "b a k"],
    classes: Int[Array, "b a"],
    *,
    class_loss: str,
    alpha: float,
    gamma: float,
    label_smoothing: float,
    negatives_per_positive: float,
    class_weights: Float[Array | np.ndarray, " k"] | None = None,
) -> Float[Array, "b a k"]:
    """Returns the loss of every logit, in float32.

    Class weights act as in Cui et al. 2019, section 4: all logits of an anchor weigh
    what the class of its object weighs.
    Differs: background, which they have not, weighs 1, the average of the classes.

    Args:
      logits: of every anchor and class.
      classes: the class that each anchor has to find, `BACKGROUND`, or `IGNORED`, which
        loses nothing.
      class_loss: a key of `CLASS_LOSSES`; the other settings are of those losses.
      alpha: weight of what is present, where it is read.
      gamma: how much easy logits fade, where it is read.
      label_smoothing: in [0, 1).
      negatives_per_positive: anchors of background kept, where it is read.
      class_weights: of `losses.class_weights`; None weighs all classes alike.
    """
    loss_fn, names = CLASS_LOSSES[class_loss]
    is_counted = (classes != IGNORED)[..., None]
    settings = {
        "is_counted": is_counted,
        "alpha": alpha,
        "gamma": gamma,
        "label_smoothing": label_smoothing,
        "negatives_per_positive": negatives_per_positive,
    }
    # Sums over millions of anchors need float32, whatever the network computes in.
    logits = logits.astype(jnp.float32)
    class_ids = jnp.arange(logits.shape[-1])[None, None, :]
    losses = loss_fn(
        logits,
        classes[..., None] == class_ids,  # BACKGROUND equals no id
        **{name: settings[name] for name in names},
    )
    losses = jnp.where(is_counted, losses, 0.0)
    if class_weights is None:
        return losses
    weights = jnp.where(classes == BACKGROUND, 1.0, jnp.asarray(class_weights)[classes])
    return losses * weights[..., None]


def detection_loss(
    outputs: Outputs,
    targets: Targets,
    *,
    class_loss: str,
    alpha: float,
    gamma: float,
    label_smoothing: float,
    negatives_per_positive: float,
    box_loss: str,
    delta: float,
    box_weight: float,
    class_weights: Float[Array | np.ndarray, " k"] | None = None,
    num_positives: Float[Array, ""] | None = None,
) -> Losses:
    """Returns the loss of a batch: that of classes + box_weight · that of boxes.

    Both parts are sums over the batch divided by the number of positive anchors in the
    batch plus one, the loss of boxes by four times that. An image without objects is
    thus pure background, and the split of a batch over devices changes nothing. Given
    the positives of a batch, the losses of its parts add up to the batch's.

    A component of a box target that is exactly 0 takes no part. The reference finds its
    positives by `target != 0`, so that a perfect component is skipped; it costs next to
    nothing, and the published models were trained so.

    Source: Tan et al. 2020 (EfficientDet), section 5.1; google/automl `detection_loss`.

    Args:
      outputs: of the network.
      targets: of `targets.assign`.
      class_loss: of `class_losses`, as are the next four.
      alpha: see there.
      gamma: see there.
      label_smoothing: see there.
      negatives_per_positive: see there.
      box_loss: a key of `BOX_LOSSES`.
      delta: where its squares become lines, in units of box codes.
      box_weight: what boxes weigh beside classes.
      class_weights: of `class_losses`.
      num_positives: anchors of the batch that these images are a part of; None where
        they are all of it.
    """
    if num_positives is None:
        num_positives = jnp.sum(targets.num_positives)
    normalizer = num_positives + 1.0
    per_logit = class_losses(
        outputs.class_logits,
        targets.classes,
        class_loss=class_loss,
        alpha=alpha,
        gamma=gamma,
        label_smoothing=label_smoothing,
        negatives_per_positive=negatives_per_positive,
        class_weights=class_weights,
    )
    error = outputs.box_codes.astype(jnp.float32) - targets.box_codes
    per_code = BOX_LOSSES[box_loss](error, delta=delta) * (targets.box_codes != 0)
    class_part = jnp.sum(per_logit) / normalizer
    box_part = jnp.sum(per_code) / (4 * normalizer)
    return Losses(class_part + box_weight * box_part, class_part, box_part)
