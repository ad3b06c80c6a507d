"""EfficientDet and its relatives in JAX: trainable, reproducible, sweepable."""


def __getattr__(name: str) -> str:
    """Returns `__version__`, which pyproject.toml says, as it was installed."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib.metadata  # Takes longer than all that most commands need of us.

    return importlib.metadata.version("efdet-jax")
