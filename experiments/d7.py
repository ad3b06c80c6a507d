"""EfficientDet-D7 on COCO 2017, trained as published.

Table 2 of arXiv 1911.09070, with soft-NMS as here: 53.7 AP on test-dev, 53.4 AP on val,
52M parameters, 325B multiply-adds at 1536 x 1536. With hard NMS effdet measures 53.1 AP
on val with the published weights.

python -m efdet_jax.main --config=experiments/d7.py
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib


def get_config() -> ConfigDict:
    config = config_lib.get_config("table", 7)
    config.model.num_classes = 90
    config.steps *= 2  # 600 epochs
    return config
