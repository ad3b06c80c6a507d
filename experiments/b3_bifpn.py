"""EfficientNet-B3 and a BiFPN, D3's sizes, with RetinaNet's training.

Table 4 of arXiv 1911.09070: 12M parameters, 24B multiply-adds, 44.4 AP on val.

python -m efdet_jax.main --config=experiments/b3_bifpn.py
"""

from ml_collections import ConfigDict

from efdet_jax import comparisons


def get_config() -> ConfigDict:
    return comparisons.get_b3_config("bifpn")
