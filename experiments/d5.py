"""EfficientDet-D5 on COCO 2017, trained as published.

Table 2 of arXiv 1911.09070, with soft-NMS as here: 51.5 AP on test-dev, 51.3 AP on val,
34M parameters, 135B multiply-adds at 1280 x 1280. With hard NMS effdet measures 51.2 AP
on val with the published weights.

python -m efdet_jax.main --config=experiments/d5.py
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib


def get_config() -> ConfigDict:
    config = config_lib.get_config("table", 5)
    config.model.num_classes = 90
    return config
