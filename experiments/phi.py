"""EfficientDet by the compound law at any real phi, on COCO 2017, trained as published.

python -m efdet_jax.main --config=experiments/phi.py:1.5

A negative phi continues the family downwards. At phi 1 to 7 the law is not what was
published; `scaling.differences` says where, experiments/dN.py are the published models.
"""

from ml_collections import ConfigDict

from efdet_jax import config as config_lib
from efdet_jax.scaling import real_phi


def get_config(phi: str) -> ConfigDict:
    config = config_lib.get_config("law", real_phi(phi))
    config.model.num_classes = 90
    return config
