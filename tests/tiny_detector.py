"""A tiny detector whose scores are spread, and images for it; for tests."""

import jax
import numpy as np
import tiny

from efdet_jax import assemble
from efdet_jax.data.labels import LabelMap
from efdet_jax.models.initial import initial_variables

LABELS = LabelMap((4, 2), ("owl", "fox"))


def config():
    made = tiny.get_config()
    made.postprocess.max_candidates = 200
    made.postprocess.max_detections = 20
    return made


def assembly():
    return assemble.detector(config(), LABELS.num_classes)


def variables(seed=0):
    """Weights at random, the last ones large: some scores are near 1."""
    rng = np.random.default_rng(seed)
    made = initial_variables(assembly().variables, seed=seed, foreground_prior=0.01)

    def shake(path, value):
        names = [key.key for key in path]
        if "predict" not in names or "kernel" not in names:
            return value
        size = 20 if "class_head" in names else 10
        return rng.normal(0, size, value.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(shake, made)


def images(count=3):
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)
