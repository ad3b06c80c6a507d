"""Weight decay as a part of the loss."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.structures import Tree


def l2_loss(params: Tree, *, weight: float) -> Float[Array, ""]:
    """Returns weight · Σv²/2 over the convolution kernels.

    This is the weight decay of the reference: part of the loss, so that it goes through
    clipping and momentum. Biases, normalisation and fusion weights are left alone.

    Args:
      params: a tree in which kernels, and nothing else, are leaves named "kernel".
      weight: 0 switches it off.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    squares = [
        jnp.sum(jnp.square(leaf))
        for path, leaf in leaves
        if jax.tree_util.keystr(path[-1:], simple=True) == "kernel"
    ]
    return weight / 2 * jnp.sum(jnp.stack(squares))
