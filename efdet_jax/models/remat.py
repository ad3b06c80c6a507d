"""Computing a block's insides twice, rather than keeping them for the backward pass."""

from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn
from jax import lax
from jax import numpy as jnp

from efdet_jax.structures import Tree

REMATS: dict[str, frozenset[str]] = {
    "none": frozenset(),
    "blocks": frozenset({"backbone", "neck"}),
}
"""Parts of a network of whose blocks only what goes in is kept."""


def run(block: nn.Module, x: Tree, *, train: bool, remat: bool) -> Any:
    """Returns `block(x, train=train)`; variables and chance are as without `remat`.

    Args:
      block: an inverted residual, a bottleneck, a cell of a neck.
      x: what it is called with.
      train: whether there will be a backward pass.
      remat: whether that computes the block again.
    """
    if not (train and remat):
        return block(x, train=train)
    module, variables = block.unbind()

    def apply(variables: Tree, x: Tree, rngs: Tree) -> tuple[Tree, Tree]:
        return module.apply(
            variables, x, train=True, mutable=["batch_stats"], rngs=rngs
        )

    assert block.scope
    y, updated = _recomputed(apply)(variables, x, block.scope.rngs)
    for name, statistics in updated.get("batch_stats", {}).items():
        block.put_variable("batch_stats", name, statistics)
    return y


def _recomputed(apply: Callable[..., Tree]) -> Callable[..., Tree]:
    """Returns `apply`, whose backward pass calls it again.

    That is `jax.checkpoint`, which comes to nothing on CPU: XLA drops its barrier,
    finds that both calls are the same, and keeps what it has.
    """

    def backward(residuals: tuple, gradients: tuple[Tree, Tree]) -> tuple:
        variables, x, rngs = residuals
        variables, x = lax.platform_dependent(
            (variables, x), gradients[0], cpu=_tied, default=_behind
        )
        _, pull = jax.vjp(lambda variables, x: apply(variables, x, rngs), variables, x)
        return *pull(gradients), None

    run = jax.custom_vjp(apply)
    run.defvjp(lambda *arguments: (apply(*arguments), arguments), backward)
    return run


def _behind(arguments: Tree, gradient: Tree) -> Tree:
    """Returns the arguments, once there is the gradient."""
    return lax.optimization_barrier((arguments, gradient))[0]


def _tied(arguments: tuple[Tree, Tree], gradient: Tree) -> tuple[Tree, Tree]:
    """Returns the arguments, of which the variables need the gradient to be read.

    They are zero beside a gradient that is infinite, which no update comes of.
    """
    variables, x = arguments
    firsts = [leaf.ravel()[0] for leaf in jax.tree.leaves(gradient)]
    is_there = jnp.all(jnp.stack(firsts) != jnp.inf)
    return jax.tree.map(
        lambda leaf: jnp.where(is_there, leaf, jnp.zeros_like(leaf)), variables
    ), x
