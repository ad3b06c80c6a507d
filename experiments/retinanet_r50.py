"""RetinaNet with a ResNet-50-FPN on COCO 2017, the recipe of its paper at 640 x 640.

Table 2 of arXiv 1911.09070: 34M parameters, 97B multiply-adds, 39.2 AP on val with
EfficientDet's longer training. The RetinaNet paper's own, at 800 pixels: 35.7 AP.

python -m efdet_jax.main --config=experiments/retinanet_r50.py \
    --config.init_from=resnet50.pth
"""

from ml_collections import ConfigDict

from efdet_jax import comparisons


def get_config() -> ConfigDict:
    return comparisons.get_retinanet_config(50)
