"""EfficientDet-Lite0 on COCO 2017: ReLU6, no squeeze-and-excitation, plain sums.

google/automl's README: 26.41 AP on val, 26.10 after quantisation to 8 bits;
3,243,470 parameters at 320 x 320. Images are stretched to the input and boxes
suppressed as TFLite's programs do it.

python -m efdet_jax.main --config=experiments/lite0.py
"""

from ml_collections import ConfigDict

from efdet_jax import recipes


def get_config() -> ConfigDict:
    return recipes.get_lite_config(0)
