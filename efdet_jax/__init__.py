"""EfficientDet and its relatives in JAX: trainable, reproducible, sweepable."""
