"""EfficientDet as the PyTorch package effdet has it, to start from its weights.

python -m efdet_jax.main --config=experiments/effdet.py:NAME --config.init_from=FILE.pth

NAME is effdet's: tf_efficientdet_d0 … d7, d7x and tf_efficientdet_lite0 … lite4, lite3x
are google/automl's weights carried over; efficientdet_d0 … d3 pad symmetrically, have
no redundant biases and a smaller epsilon in the backbone.
"""

from ml_collections import ConfigDict

from efdet_jax import recipes


def get_config(name: str) -> ConfigDict:
    return recipes.get_effdet_config(name)
