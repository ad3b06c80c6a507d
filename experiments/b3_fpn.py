"""RetinaNet with EfficientNet-B3 for its backbone, at 640 x 640.

Table 4 of arXiv 1911.09070: 21M parameters, 75B multiply-adds, 40.3 AP on val; with
ResNet-50 (retinanet_r50.py) 34M, 97B and 37.0, with a BiFPN (b3_bifpn.py) 12M, 24B and
44.4.

python -m efdet_jax.main --config=experiments/b3_fpn.py
"""

from ml_collections import ConfigDict

from efdet_jax import comparisons


def get_config() -> ConfigDict:
    return comparisons.get_b3_config("fpn")
