"""A small EfficientNet scaled in one dimension alone, or in several together.

python -m efdet_jax.main --config=experiments/efficientnet_scaling.py:DIMENSION,FACTOR

DIMENSION is width, depth or resolution (EfficientNet, arXiv 1905.11946, Fig. 3), and
depth,1.2,width,1.1,resolution,1.15 scales all together: the paper's choice among
scaling.candidate_bases(step=0.05, tolerance=0.1), by a search that trains each of them.
Its own workdir for each: --workdir=runs/scaling/width2
"""

from ml_collections import ConfigDict

from efdet_jax.classifier_config import get_small_classifier_config
from efdet_jax.scaling import dimension_factors


def get_config(factors: str) -> ConfigDict:
    by = dimension_factors(factors)
    return get_small_classifier_config(
        width=0.5 * by["width"],
        depth=0.5 * by["depth"],
        image_size=round(48 * by["resolution"]),
    )
