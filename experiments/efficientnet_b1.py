"""EfficientNet-B1 on ImageNet.

Table 2 of arXiv 1905.11946: top-1 79.1%, top-5 94.4%, 7.8M parameters, 0.70B multiply-
adds at 240 x 240. Published with RMSProp and AutoAugment, which are not here: expect
less.
With --mode=eval and --config.init_from=WEIGHTS it scores weights of timm or Keras.

python -m efdet_jax.main --config=experiments/efficientnet_b1.py
"""

from ml_collections import ConfigDict

from efdet_jax.classifier_config import get_classifier_config


def get_config() -> ConfigDict:
    config = get_classifier_config("table", 1)
    config.model.num_classes = 1000
    return config
