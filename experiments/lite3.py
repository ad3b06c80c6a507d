"""EfficientDet-Lite3 on COCO 2017: ReLU6, no squeeze-and-excitation, plain sums.

google/automl's README: 38.77 AP on val, 38.42 after quantisation to 8 bits;
8,350,862 parameters at 512 x 512. Images are stretched to the input and boxes
suppressed as TFLite's programs do it.

python -m efdet_jax.main --config=experiments/lite3.py
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib


def get_config() -> ConfigDict:
    config = config_lib.get_config("lite", 3)
    config.model.num_classes = 90
    config.data.resize = "stretch"
    config.postprocess.method = "hard"
    config.postprocess.candidates = "best_class"
    config.postprocess.per_class = False
    return config
