"""A small EfficientDet on drawn shapes: minutes on a laptop, nothing to download.

python -m efdet_jax.main --config=experiments/quickstart.py

Expect AP 0.60, AP50 0.83 after two and a half minutes on 2 CPU cores.
"""

from ml_collections import ConfigDict

from efdet_jax import recipes


def get_config() -> ConfigDict:
    return recipes.get_shapes_config(-4.0)
