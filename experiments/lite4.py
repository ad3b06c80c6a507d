"""EfficientDet-Lite4 on COCO 2017: ReLU6, no squeeze-and-excitation, plain sums.

google/automl's README: 43.18 AP on val, 42.83 after quantisation to 8 bits;
15,130,894 parameters at 640 x 640. Images are stretched to the input and boxes
suppressed as TFLite's programs do it.

python -m efdet_jax.main --config=experiments/lite4.py
"""

from ml_collections import ConfigDict

from efdet_jax import recipes


def get_config() -> ConfigDict:
    return recipes.get_lite_config(4)
