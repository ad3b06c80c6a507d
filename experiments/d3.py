"""EfficientDet-D3 on COCO 2017, trained as published.

Table 2 of arXiv 1911.09070, with soft-NMS as here: 47.2 AP on test-dev, 46.8 AP on val,
12M parameters, 25B multiply-adds at 896 x 896. With hard NMS effdet measures 47.1 AP on
val with the published weights.

python -m efdet_jax.main --config=experiments/d3.py
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib


def get_config() -> ConfigDict:
    config = config_lib.get_config("table", 3)
    config.model.num_classes = 90
    return config
