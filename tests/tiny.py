"""A detector and a data set that train for some steps in seconds; for tests.

As an experiment: python -m efdet_jax.main --config=tests/tiny.py
"""

from efdet_jax import recipes
from efdet_jax.config import FREE


def get_config():
    config = recipes.get_small_config(-4.0)
    config.scaling.source = FREE
    config.image_size = (64, 64)
    config.model.levels = (3, 6)
    config.model.backbone.width = 0.25
    config.model.backbone.depth = 0.3
    config.model.neck.width = 8
    config.model.neck.repeats = 1
    config.model.head.repeats = 1
    config.batch_size = 8
    config.steps = 60
    config.log_every = 1
    config.optimizer.learning_rate = 0.01
    config.optimizer.reference_batch = 8
    config.optimizer.warmup_steps = 10
    config.optimizer.warmup_start = 0.001
    config.data.train = "shapes:train"
    config.data.val = "shapes:val"
    config.data.max_boxes = 6
    config.data.shapes.num_train = 40
    config.data.shapes.num_val = 21
    config.data.shapes.num_classes = 2
    config.data.shapes.min_size = 0.3
    config.eval.every = 1000
    config.eval.batch_size = 8
    config.eval.pictures = 3
    config.checkpoint.every = 1000
    return config
