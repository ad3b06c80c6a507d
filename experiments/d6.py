"""EfficientDet-D6 on COCO 2017, trained as published.

Table 2 of arXiv 1911.09070, with soft-NMS as here: 52.6 AP on test-dev, 52.2 AP on val,
52M parameters, 226B multiply-adds at 1280 x 1280. With hard NMS effdet measures 52.0 AP
on val with the published weights.

python -m efdet_jax.main --config=experiments/d6.py
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib


def get_config() -> ConfigDict:
    config = config_lib.get_config("table", 6)
    config.model.num_classes = 90
    return config
