"""Whose the classification loss is: objects, hard background or easy background.

Nearly all anchors are background that is easily told to be so. Each loses little, all
together may lose most; how far a loss mutes them is what these shares show.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from efdet_jax.losses import class_losses
from efdet_jax.structures import BACKGROUND, Batch, Outputs
from efdet_jax.targets import assign

CLASS_KEYS = (
    "class_loss",
    "alpha",
    "gamma",
    "label_smoothing",
    "negatives_per_positive",
    "class_weights",
)
"""Arguments of `detection_loss` that are those of `class_losses` too."""

EASY = 0.9
"""The share of background anchors that counts as easy: those that lose least."""
QUANTILES = (0.5, 0.9, 0.99, 0.999)
"""Where the curve of figure 4 of the focal loss paper is read off."""

_LOWEST, _HIGHEST, _BINS_PER_OCTAVE = -60, 20, 8
_NUM_BINS = (_HIGHEST - _LOWEST) * _BINS_PER_OCTAVE


class LossHistogram(NamedTuple):
    """The classification losses of a batch's anchors, before normalising.

    Anchors of background stand in bins by their loss, equally wide in its logarithm:
    the losses themselves, of millions of anchors, would not fit into memory.
    """

    counts: Int[Array | np.ndarray, " n"]
    """Anchors of background in each bin."""
    sums: Float[Array | np.ndarray, " n"]
    """What they lose together."""
    objects: Float[Array | np.ndarray, ""]
    """What all anchors with an object lose together."""


LossMeter = Callable[[Outputs, Batch], LossHistogram]


def make_loss_meter(
    anchors: Float[np.ndarray, "a 4"],
    *,
    matching: Mapping[str, float],
    loss: Mapping[str, Any],
) -> LossMeter:
    """Returns what measures the losses of a batch; rows that only fill it do not count.

    Args:
      anchors: those of the network.
      matching: arguments of `targets.assign`.
      loss: arguments of `losses.detection_loss`, its class weights among them.
    """
    settings = {key: loss[key] for key in CLASS_KEYS}

    def measure(outputs: Outputs, batch: Batch) -> LossHistogram:
        classes = assign(anchors, batch.boxes, batch.classes, **matching).classes
        losses = jnp.sum(
            class_losses(outputs.class_logits, classes, **settings), axis=-1
        )
        is_real = jnp.asarray(batch.image_index >= 0)[:, None]
        is_object = is_real & (classes >= 0)
        counts, sums = jax.vmap(_binned)(losses, is_real & (classes == BACKGROUND))
        return LossHistogram(
            counts=jnp.sum(counts, axis=0),
            sums=jnp.sum(sums, axis=0),
            objects=jnp.sum(jnp.where(is_object, losses, 0.0)),
        )

    return measure


def _binned(
    losses: Float[Array, " a"], is_counted: Bool[Array, " a"]
) -> tuple[Int[Array, " n"], Float[Array, " n"]]:
    """Returns how many anchors of an image are in each bin, and what they lose."""
    place = (jnp.log2(losses) - _LOWEST) * _BINS_PER_OCTAVE
    bins = jnp.clip(place, 0, _NUM_BINS - 1).astype(jnp.int32)

    def total(values: Array) -> Array:
        kept = jnp.where(is_counted, values, jnp.zeros_like(values))
        return jax.ops.segment_sum(kept, bins, _NUM_BINS)

    return total(jnp.ones_like(bins)), total(losses)


def loss_shares(histograms: Sequence[LossHistogram]) -> dict[str, float]:
    """Returns who makes up the classification loss, each a share in 0..1.

    Source: Lin et al. 2017 (Focal loss), figure 4, on the right.

    Args:
      histograms: of all batches.

    Returns:
      `loss_share/background` and `loss_share/easy_background`: of the whole loss, what
      all anchors of background make up, and the `EASY` share of them that loses least.
      `loss_share_of_background/easiest_0.5` and so on: of the loss of background, what
      that share of its anchors makes up. NaN where there is no loss.
    """
    counts, sums, objects = (
        np.sum(np.stack(parts), axis=0, dtype=np.float64)
        for parts in zip(*histograms, strict=True)
    )
    quantiles = np.cumsum(counts) / max(counts.sum(), 1)
    cumulative = np.cumsum(sums)
    background = cumulative[-1]
    total = (background + objects) or np.nan

    def of_easiest(share: float) -> float:
        return float(np.interp(share, [0, *quantiles], [0, *cumulative]))

    return {
        "loss_share/background": float(background / total),
        "loss_share/easy_background": of_easiest(EASY) / float(total),
    } | {
        f"loss_share_of_background/easiest_{share}": of_easiest(share)
        / (float(background) or np.nan)
        for share in QUANTILES
    }
