"""The training losses: focal for classes, Huber for boxes, L2 for kernels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from efdet_jax.structures import Outputs, Targets, Tree


class Losses(NamedTuple):
    """What `detection_loss` minimises, and its two parts before weighting."""

    total: Float[Array, ""]
    class_: Float[Array, ""]
    box: Float[Array, ""]


def focal_loss(
    logits: Float[Array, "*s"],
    is_positive: Bool[Array, "*s"],
    *,
    alpha: float,
    gamma: float,
    label_smoothing: float,
) -> Float[Array, "*s"]:
    """Returns the focal loss of every logit: -alpha_t (1 - p_t)^gamma log p_t.

    Source: Lin et al. 2017 (Focal loss), equation 5.
    Differs: nothing from google/automl `FocalLoss`, where label smoothing acts in the
      cross-entropy and not in the modulating factor (1 - p_t)^gamma. (optax smooths
      both.)

    Args:
      logits: any shape.
      is_positive: whether the class is present.
      alpha: weight of positives, in [0, 1]; negatives weigh 1 - alpha.
      gamma: 0 gives the cross-entropy; larger values mute what is easy.
      label_smoothing: in [0, 1); the targets become y (1 - s) + s / 2.
    """
    # Everything follows from the logit of being wrong: p_t = sigmoid(-wrong), thus
    # log p_t = -softplus(wrong) and log(1 - p_t) = -softplus(-wrong), in a form that
    # never overflows. One |wrong| in all parts keeps the gradient right at 0.
    wrong = jnp.where(is_positive, -logits, logits)
    size = jnp.abs(wrong)
    tail = jnp.log1p(jnp.exp(-size))
    modulation = jnp.exp(-gamma * ((size - wrong) / 2 + tail))
    cross_entropy = (size + wrong) / 2 + tail - wrong * (label_smoothing / 2)
    return jnp.where(is_positive, alpha, 1 - alpha) * modulation * cross_entropy


def huber_loss(error: Float[Array, "*s"], *, delta: float) -> Float[Array, "*s"]:
    """Returns e²/2 up to |e| = delta and the tangent of that parabola beyond.

    Source: Huber 1964, equation 3.3; not divided by delta, unlike "smooth L1".
    """
    clipped = jnp.clip(error, -delta, delta)
    return clipped * (error - clipped / 2)


def detection_loss(
    outputs: Outputs,
    targets: Targets,
    *,
    alpha: float,
    gamma: float,
    label_smoothing: float,
    delta: float,
    box_weight: float,
) -> Losses:
    """Returns the loss of a batch: focal + box_weight · Huber.

    Both parts are sums over the batch divided by the number of positive anchors in the
    batch plus one, the Huber loss by four times that. An image without objects is thus
    pure background, and the split of a batch over devices changes nothing.

    A component of a box target that is exactly 0 takes no part. The reference finds its
    positives by `target != 0`, so that a perfect component is skipped; it costs next to
    nothing, and the published models were trained so.

    Source: Tan et al. 2020 (EfficientDet), section 5.1; google/automl `detection_loss`.
    """
    # Sums over millions of anchors need float32, whatever the network computes in.
    logits = outputs.class_logits.astype(jnp.float32)
    error = outputs.box_codes.astype(jnp.float32) - targets.box_codes
    normalizer = jnp.sum(targets.num_positives) + 1.0

    class_ids = jnp.arange(logits.shape[-1])[None, None, :]
    class_losses = focal_loss(
        logits,
        targets.classes[..., None] == class_ids,  # BACKGROUND equals no id
        alpha=alpha,
        gamma=gamma,
        label_smoothing=label_smoothing,
    )
    box_losses = huber_loss(error, delta=delta) * (targets.box_codes != 0)
    class_loss = jnp.sum(class_losses) / normalizer
    box_loss = jnp.sum(box_losses) / (4 * normalizer)
    return Losses(class_loss + box_weight * box_loss, class_loss, box_loss)


def l2_loss(params: Tree, *, weight: float) -> Float[Array, ""]:
    """Returns weight · Σv²/2 over the convolution kernels.

    This is the weight decay of the reference: part of the loss, so that it goes through
    clipping and momentum. Biases, normalisation and fusion weights are left alone.

    Args:
      params: a tree in which kernels, and nothing else, are leaves named "kernel".
      weight: 0 switches it off.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    squares = [
        jnp.sum(jnp.square(leaf))
        for path, leaf in leaves
        if jax.tree_util.keystr(path[-1:], simple=True) == "kernel"
    ]
    return weight / 2 * jnp.sum(jnp.stack(squares))
