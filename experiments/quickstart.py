"""A small EfficientDet on drawn shapes: minutes on a laptop, nothing to download.

python -m efdet_jax.main --config=experiments/quickstart.py
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib


def get_config() -> ConfigDict:
    config = config_lib.get_config("law", -3.0)
    config.batch_size = 16
    config.steps = 700
    config.log_every = 20
    config.ema_decay = 0.99
    config.model.batch_norm.momentum = 0.95
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.reference_batch = 16
    config.optimizer.warmup_steps = 50
    config.l2_loss = 0.0
    config.data.train = "shapes:train"
    config.data.val = "shapes:val"
    config.data.num_threads = 1
    config.data.max_boxes = 8
    config.data.jitter = (1.0, 1.0)
    config.postprocess.max_candidates = 500
    config.eval = ConfigDict({"every": 10_000, "batch_size": 32, "pictures": 16})
    config.checkpoint.every = 10_000
    return config
