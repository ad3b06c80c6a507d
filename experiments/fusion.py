"""D0 with another fusion of features: NAME is sum, softmax, fast or unbounded.

EfficientDet's Table 6: 33.96 AP with softmax, 33.85 with fast, which is 1.28 times as
fast on a GPU. NAME,PHI takes another published model than D0.

python -m efdet_jax.main --config=experiments/fusion.py:NAME
"""

from ml_collections import ConfigDict

from efdet_jax import comparisons


def get_config(name_and_phi: str) -> ConfigDict:
    name, _, phi = name_and_phi.partition(",")
    return comparisons.get_fusion_config(name, phi if phi == "7x" else int(phi or 0))
