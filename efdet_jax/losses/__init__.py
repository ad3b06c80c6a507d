"""What training minimises: arrays in, arrays out."""

from efdet_jax.losses.classification import smoothed_cross_entropy
from efdet_jax.losses.detection import class_losses, detection_loss
from efdet_jax.losses.l2 import l2_loss
from efdet_jax.losses.weighting import class_weights

__all__ = [
    "class_losses",
    "class_weights",
    "detection_loss",
    "l2_loss",
    "smoothed_cross_entropy",
]
