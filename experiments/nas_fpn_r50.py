"""ResNet-50 and a NAS-FPN of seven cells, 256 wide, at 1024 x 1024.

Table 2 of arXiv 1911.09070: 60M parameters, 360B multiply-adds, 44.2 AP on test-dev.

python -m efdet_jax.main --config=experiments/nas_fpn_r50.py
"""

from ml_collections import ConfigDict

from efdet_jax import comparisons


def get_config() -> ConfigDict:
    return comparisons.get_nas_fpn_config()
