"""EfficientDet-D7x on COCO 2017, trained as published.

Table 2 of arXiv 1911.09070, with soft-NMS as here: 55.1 AP on test-dev, 54.4 AP on val,
77M parameters, 410B multiply-adds at 1536 x 1536. With hard NMS effdet measures 54.3 AP
on val with the published weights.

python -m efdet_jax.main --config=experiments/d7x.py
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib


def get_config() -> ConfigDict:
    config = config_lib.get_config("table", "7x")
    config.model.num_classes = 90
    config.steps *= 2  # 600 epochs
    return config
