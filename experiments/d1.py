"""EfficientDet-D1 on COCO 2017, trained as published.

Table 2 of arXiv 1911.09070, with soft-NMS as here: 40.5 AP on test-dev, 40.2 AP on val,
6.6M parameters, 6.1B multiply-adds at 640 x 640. With hard NMS effdet measures 40.1 AP
on val with the published weights.

python -m efdet_jax.main --config=experiments/d1.py
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib


def get_config() -> ConfigDict:
    config = config_lib.get_config("table", 1)
    config.model.num_classes = 90
    return config
