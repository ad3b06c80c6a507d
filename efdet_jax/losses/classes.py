"""How wrong the classes are: the loss of each logit, by name.

A logit answers one question on its own, whether this class is at this anchor. Nearly
every answer is no, and easily found. The losses differ in what they do about that.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from efdet_jax.kernels import focal as kernels
from efdet_jax.kernels import library

Pair = tuple[Float[Array, "*s"], Float[Array, "*s"]]


def cross_entropy(
    logits: Float[Array, "*s"], is_present: Bool[Array, "*s"], *, label_smoothing: float
) -> Float[Array, "*s"]:
    """Returns -log p_t of every logit, in which yes and no, easy and hard weigh alike.

    Args:
      logits: any shape.
      is_present: whether the class is there.
      label_smoothing: in [0, 1); the targets become y (1 - s) + s / 2.
    """
    return _surprises(logits, is_present, label_smoothing)[1]


def balanced_cross_entropy(
    logits: Float[Array, "*s"],
    is_present: Bool[Array, "*s"],
    *,
    alpha: float,
    label_smoothing: float,
) -> Float[Array, "*s"]:
    """Returns -alpha_t log p_t of every logit: yes and no are balanced by a constant.

    Source: Lin et al. 2017 (Focal loss), equation 3.

    Args:
      logits: any shape.
      is_present: whether the class is there.
      alpha: weight of what is present, in [0, 1]; what is not weighs 1 - alpha.
      label_smoothing: of `cross_entropy`.
    """
    losses = cross_entropy(logits, is_present, label_smoothing=label_smoothing)
    return jnp.where(is_present, alpha, 1 - alpha) * losses


def focal_loss(
    logits: Float[Array, "*s"],
    is_present: Bool[Array, "*s"],
    *,
    alpha: float,
    gamma: float,
    label_smoothing: float,
) -> Float[Array, "*s"]:
    """Returns -alpha_t (1 - p_t)^gamma log p_t of every logit: the easy ones fade.

    Source: Lin et al. 2017 (Focal loss), equation 5.
    Differs: nothing from google/automl `FocalLoss`, where label smoothing acts in the
      cross-entropy and not in the modulating factor (1 - p_t)^gamma. (optax smooths
      both.)

    Args:
      logits: any shape.
      is_present: whether the class is there.
      alpha: of `balanced_cross_entropy`.
      gamma: 0 gives that; larger values mute what is easy.
      label_smoothing: of `cross_entropy`.
    """

    def plain(logits: Float[Array, "*s"]) -> Float[Array, "*s"]:
        opposite, losses = _surprises(logits, is_present, label_smoothing)
        weights = jnp.where(is_present, alpha, 1 - alpha)
        return weights * jnp.exp(-gamma * opposite) * losses

    if not library.are_usable(logits):
        return plain(logits)

    def with_slope(logits: Float[Array, "*s"]) -> Pair:
        return jax.jvp(plain, (logits,), (jnp.ones_like(logits),))

    @jax.custom_jvp
    def either(logits: Float[Array, "*s"]) -> Pair:
        settings = {"alpha": alpha, "gamma": gamma, "label_smoothing": label_smoothing}
        return kernels.focal(logits, is_present, **settings)

    @jax.custom_jvp
    def loss(logits: Float[Array, "*s"]) -> Float[Array, "*s"]:
        return either(logits)[0]

    def derivative(primals: tuple, tangents: tuple) -> Pair:
        losses, slope = either(*primals)
        return losses, slope * tangents[0]

    loss.defjvp(derivative)
    # Only second derivatives take this way.
    either.defjvp(functools.partial(jax.jvp, with_slope))
    return loss(logits)


def ohem_loss(
    logits: Float[Array, "b a k"],
    is_present: Bool[Array, "b a k"],
    *,
    is_counted: Bool[Array, "b a 1"],
    negatives_per_positive: float,
    label_smoothing: float,
) -> Float[Array, "b a k"]:
    """Returns the cross-entropy of anchors with an object and of the hardest others.

    Of the anchors of an image that have no object, those with the largest losses over
    all classes are kept, so many for each that has one; the others lose nothing. Among
    equals the first are kept. An image without objects thus teaches nothing.

    Source: Shrivastava et al. 2016 (online hard example mining), with the ratio of Liu
      et al. 2016 (SSD), section 2.2; Lin et al. 2017 (Focal loss), table 1d.
    Differs: Lin et al. thin the hardest by non-maximum suppression first.

    Args:
      logits: of every anchor and class.
      is_present: whether the class is at the anchor.
      is_counted: whether the anchor is an example at all.
      negatives_per_positive: the ratio; 3 in SSD.
      label_smoothing: of `cross_entropy`.
    """
    losses = cross_entropy(logits, is_present, label_smoothing=label_smoothing)
    is_positive = jnp.any(is_present, axis=-1)
    is_negative = ~is_positive & is_counted[..., 0]
    hardness = jnp.where(is_negative, jnp.sum(losses, axis=-1), -jnp.inf)
    rank = jnp.argsort(jnp.argsort(-hardness, axis=1), axis=1)
    num_positives = jnp.sum(is_positive, axis=1, keepdims=True)
    is_kept = is_positive | (rank < negatives_per_positive * num_positives)
    return jnp.where(is_kept[..., None], losses, 0.0)


CLASS_LOSSES: dict[str, tuple[Callable[..., Float[Array, "..."]], tuple[str, ...]]] = {
    "cross_entropy": (cross_entropy, ("label_smoothing",)),
    "balanced_cross_entropy": (balanced_cross_entropy, ("alpha", "label_smoothing")),
    "focal": (focal_loss, ("alpha", "gamma", "label_smoothing")),
    "ohem": (
        ohem_loss,
        ("is_counted", "negatives_per_positive", "label_smoothing"),
    ),
}
"""Each loss, given logits [b a k] and what is present, with the settings it reads."""


def _surprises(
    logits: Float[Array, "*s"], is_present: Bool[Array, "*s"], label_smoothing: float
) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """Returns -log(1 - p_t), and -log p_t with smoothed labels."""
    # Everything follows from the logit of being wrong: p_t = sigmoid(-wrong), thus
    # log p_t = -softplus(wrong) and log(1 - p_t) = -softplus(-wrong), in a form that
    # never overflows. One |wrong| in all parts keeps the gradient right at 0.
    wrong = jnp.where(is_present, -logits, logits)
    size = jnp.abs(wrong)
    tail = jnp.log1p(jnp.exp(-size))
    opposite = (size - wrong) / 2 + tail
    return opposite, (size + wrong) / 2 + tail - wrong * (label_smoothing / 2)
