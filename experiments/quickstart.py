"""A small EfficientDet on drawn shapes: minutes on a laptop, nothing to download.

python -m efdet_jax.main --config=experiments/quickstart.py

Expect AP 0.60, AP50 0.83 after two and a half minutes on 2 CPU cores.
"""

from ml_collections import ConfigDict

from efdet_jax import recipes


def get_config() -> ConfigDict:
    config = recipes.get_small_config(-4.0)
    config.steps = 700
    config.data.train = "shapes:train"
    config.data.val = "shapes:val"
    config.data.jitter = (1.0, 1.0)
    config.data.max_boxes = 8
    config.data.num_threads = 1
    config.data.shapes.num_classes = 4
    config.data.shapes.max_objects = 3
    config.data.shapes.min_size = 0.25
    config.data.shapes.clutter = 0.1
    config.eval.every = 350
    config.checkpoint.every = 350
    return config
