"""EfficientDet-Lite4 on COCO 2017: ReLU6, no squeeze-and-excitation, plain sums.

google/automl's README: 43.18 AP on val, 42.83 after quantisation to 8 bits;
15,130,894 parameters at 640 x 640. Images are stretched to the input and boxes
suppressed as TFLite's programs do it.

python -m efdet_jax.main --config=experiments/lite4.py
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib


def get_config() -> ConfigDict:
    config = config_lib.get_config("lite", 4)
    config.model.num_classes = 90
    config.data.resize = "stretch"
    config.postprocess.method = "hard"
    config.postprocess.candidates = "best_class"
    config.postprocess.per_class = False
    return config
