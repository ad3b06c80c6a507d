"""The law at a small phi on drawn shapes: the quickstart at another size.

python -m efdet_jax.main --config=experiments/shapes.py:PHI --workdir=runs/shapes/PHI

At -4 it is the quickstart. The images grow with phi, from 128 pixels up to -3 to 256 at
-2, and what is drawn on them with them.
"""

from ml_collections import ConfigDict

from efdet_jax import recipes
from efdet_jax.scaling import real_phi


def get_config(phi: str) -> ConfigDict:
    return recipes.get_shapes_config(real_phi(phi))
