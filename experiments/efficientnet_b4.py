"""EfficientNet-B4 on ImageNet.

Table 2 of arXiv 1905.11946: top-1 82.9%, top-5 96.4%, 19M parameters, 4.2B multiply-
adds at 380 x 380. Published with RMSProp and AutoAugment, which are not here: expect
less.
With --mode=eval and --config.init_from=WEIGHTS it scores weights of timm or Keras.

python -m efdet_jax.main --config=experiments/efficientnet_b4.py
"""

from ml_collections import ConfigDict

from efdet_jax.classifier_config import get_classifier_config


def get_config() -> ConfigDict:
    config = get_classifier_config("table", 4)
    config.model.num_classes = 1000
    return config
