"""EfficientDet-D2 on COCO 2017, trained as published.

Table 2 of arXiv 1911.09070, with soft-NMS as here: 43.9 AP on test-dev, 43.5 AP on val,
8.1M parameters, 11B multiply-adds at 768 x 768. With hard NMS effdet measures 43.4 AP
on val with the published weights.

python -m efdet_jax.main --config=experiments/d2.py
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib


def get_config() -> ConfigDict:
    config = config_lib.get_config("table", 2)
    config.model.num_classes = 90
    return config
