"""EfficientDet-Lite3 on COCO 2017: ReLU6, no squeeze-and-excitation, plain sums.

google/automl's README: 38.77 AP on val, 38.42 after quantisation to 8 bits;
8,350,862 parameters at 512 x 512. Images are stretched to the input and boxes
suppressed as TFLite's programs do it.

python -m efdet_jax.main --config=experiments/lite3.py
"""

from ml_collections import ConfigDict

from efdet_jax import recipes


def get_config() -> ConfigDict:
    return recipes.get_lite_config(3)
