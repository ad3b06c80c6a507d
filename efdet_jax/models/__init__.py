"""Networks: arrays in, arrays out."""

from efdet_jax.models.detector import Detector, create, normalise

__all__ = ["Detector", "create", "normalise"]
