"""A classifier and a data set that train for some steps in seconds; for tests.

As an experiment: python -m efdet_jax.main --config=tests/tiny_classifier.py
"""

from efdet_jax.classifier_config import get_small_classifier_config


def get_config():
    config = get_small_classifier_config(width=0.25, depth=0.25, image_size=32)
    config.batch_size = 8
    config.steps = 4
    config.log_every = 1
    config.optimizer.reference_batch = 8
    config.optimizer.warmup_steps = 2
    config.data.shapes.num_train = 40
    config.data.shapes.num_val = 21
    config.data.shapes.num_classes = 6
    config.eval.every = 3
    config.eval.batch_size = 8
    config.eval.pictures = 3
    config.checkpoint.every = 2
    return config
