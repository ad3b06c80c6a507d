"""D3 with another neck, a row of EfficientDet's Table 5.

NAME is a key of `efdet_jax.comparisons.NECKS`. In the paper: AP on val, and the neck's
parameters and multiply-adds against the PANet's: FPN 42.29, 1, 1; PANet 44.08;
NAS-FPN 43.16, 0.71, 0.72; fully connected 43.06, 1.24, 1.21; BiFPN 43.94 without and
44.39 with weights, 0.88, 0.67.

python -m efdet_jax.main --config=experiments/necks.py:NAME
"""

from ml_collections import ConfigDict

from efdet_jax import comparisons


def get_config(name: str) -> ConfigDict:
    return comparisons.get_neck_config(name)
