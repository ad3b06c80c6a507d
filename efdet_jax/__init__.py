"""EfficientDet and its relatives in JAX: trainable, reproducible, sweepable.

`load` is what a person needs after training, see `inference.detector.load`:

    import efdet_jax

    detector = efdet_jax.load("runs/quickstart")
    found = detector(image)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from efdet_jax.inference.detector import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Imports what a program asks for, and JAX with it, only when it asks."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from efdet_jax.inference.detector import load

    return load
