"""A published detector, trained on for images of your own: minutes on a laptop.

MODEL is d0 … d7, d7x or lite0 … lite4, lite3x; FOLDER is a Pascal VOC or COCO folder
with the splits train and val, as in own_data.py.

python -m efdet_jax.main --config=experiments/finetune.py:MODEL,FOLDER \
    --config.init_from=WEIGHTS

--config.model.frozen.backbone=True trains neck and heads only. BatchNorm normalises by
the statistics of the weights; --config.model.frozen.batch_norm=False learns new ones.
"""

from ml_collections import ConfigDict

from efdet_jax import recipes


def get_config(model_and_folder: str) -> ConfigDict:
    model, _, folder = model_and_folder.partition(",")
    config = recipes.get_finetune_config(model)
    config.data.train = f"{folder},train"
    config.data.val = f"{folder},val"
    return config
