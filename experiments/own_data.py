"""A small EfficientDet on images of your own: minutes to an hour on a laptop.

DATA is a Pascal VOC folder (Annotations, ImageSets/Main, JPEGImages), a COCO folder
(annotations/instances_SPLIT.json and its images) or a YOLO folder (data.yaml), with the
splits train and val.

python -m efdet_jax.main --config=experiments/own_data.py:DATA

Expect AP 0.40, AP50 0.60 on BCCD's val after 7 minutes on 2 CPU cores.
"""

from ml_collections import ConfigDict

from efdet_jax import recipes


def get_config(folder: str) -> ConfigDict:
    config = recipes.get_small_config(-2.5)
    config.steps = 600
    config.data.train = f"{folder},train"
    config.data.val = f"{folder},val"
    config.data.jitter = (0.7, 1.4)
    config.eval.every = 200
    config.checkpoint.every = 200
    return config
