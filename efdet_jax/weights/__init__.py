"""Weights of other implementations, and our own, into our variables and out again."""

from efdet_jax.weights.importing import import_weights

__all__ = ["import_weights"]
