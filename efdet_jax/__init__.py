"""EfficientDet and its relatives in JAX: trainable, reproducible, sweepable.

`load` is what a person needs after training, see `inference.detector.load`:

    import efdet_jax

    detector = efdet_jax.load("runs/quickstart")
    found = detector(image)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from efdet_jax.inference.detector import load

    __version__: str

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Imports what a program asks for, and JAX with it, only when it asks.

    `__version__` is what pyproject.toml says, as it was installed.
    """
    if name == "load":
        from efdet_jax.inference.detector import load

        return load
    if name == "__version__":
        import importlib.metadata  # Takes longer than most commands need of us.

        return importlib.metadata.version("efdet-jax")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
