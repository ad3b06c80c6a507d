"""EfficientDet-Lite1 on COCO 2017: ReLU6, no squeeze-and-excitation, plain sums.

google/automl's README: 31.50 AP on val, 31.12 after quantisation to 8 bits;
4,248,318 parameters at 384 x 384. Images are stretched to the input and boxes
suppressed as TFLite's programs do it.

python -m efdet_jax.main --config=experiments/lite1.py
"""

from ml_collections import ConfigDict

from efdet_jax import recipes


def get_config() -> ConfigDict:
    return recipes.get_lite_config(1)
