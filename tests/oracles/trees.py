"""Parameters by name, as published files have them."""

import jax
import numpy as np


def flat_arrays(tree) -> dict[str, np.ndarray]:
    """Returns {"params/backbone/stem/kernel": array, …} of a tree of dicts."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in leaves
    }
