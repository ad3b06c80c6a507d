"""EfficientDet-Lite2 on COCO 2017: ReLU6, no squeeze-and-excitation, plain sums.

google/automl's README: 35.06 AP on val, 34.69 after quantisation to 8 bits;
5,252,334 parameters at 448 x 448. Images are stretched to the input and boxes
suppressed as TFLite's programs do it.

python -m efdet_jax.main --config=experiments/lite2.py
"""

from ml_collections import ConfigDict

from efdet_jax import recipes


def get_config() -> ConfigDict:
    return recipes.get_lite_config(2)
