"""EfficientDet-Lite3x on COCO 2017: ReLU6, no squeeze-and-excitation, plain sums.

google/automl's README: 42.64 AP on val, 41.87 after quantisation to 8 bits;
9,280,862 parameters at 640 x 640. Images are stretched to the input and boxes
suppressed as TFLite's programs do it.

python -m efdet_jax.main --config=experiments/lite3x.py
"""

from ml_collections import ConfigDict

from efdet_jax import recipes


def get_config() -> ConfigDict:
    return recipes.get_lite_config("3x")
