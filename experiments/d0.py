"""EfficientDet-D0 on COCO 2017, trained as published.

Table 2 of arXiv 1911.09070, with soft-NMS as here: 34.6 AP on test-dev, 34.3 AP on val,
3.9M parameters, 2.5B multiply-adds at 512 x 512. With hard NMS effdet measures 34.2 AP
on val with the published weights.

python -m efdet_jax.main --config=experiments/d0.py
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib


def get_config() -> ConfigDict:
    config = config_lib.get_config("table", 0)
    config.model.num_classes = 90
    return config
