"""EfficientDet-D4 on COCO 2017, trained as published.

Table 2 of arXiv 1911.09070, with soft-NMS as here: 49.7 AP on test-dev, 49.3 AP on val,
21M parameters, 55B multiply-adds at 1024 x 1024. With hard NMS effdet measures 49.2 AP
on val with the published weights.

python -m efdet_jax.main --config=experiments/d4.py
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib


def get_config() -> ConfigDict:
    config = config_lib.get_config("table", 4)
    config.model.num_classes = 90
    return config
