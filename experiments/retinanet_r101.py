"""RetinaNet with a ResNet-101-FPN on COCO 2017, the recipe of its paper at 640 x 640.

Table 2 of arXiv 1911.09070: 53M parameters, 127B multiply-adds, 39.8 AP on val with
EfficientDet's longer training. The RetinaNet paper's own, at 800 pixels: 37.8 AP.

python -m efdet_jax.main --config=experiments/retinanet_r101.py \
    --config.init_from=resnet101.pth
"""

from ml_collections import ConfigDict

from efdet_jax import comparisons


def get_config() -> ConfigDict:
    return comparisons.get_retinanet_config(101)
