"""The gradient of a batch, made of those of its parts, in the memory of one part."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import optax
from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, Float, Int

from efdet_jax.structures import Tree

Named = dict[str, Float[Array, ""]]
Share = Callable[[Tree, Tree, Tree, Array], tuple[Float[Array, ""], tuple[Tree, Named]]]
"""(parameters, statistics, rows of a batch, key) → their share of its loss, the
statistics after them, and their share of what else there is to log."""


class Gradient(NamedTuple):
    """What one look at a batch comes to."""

    loss: Float[Array, ""]
    gradients: Tree
    batch_stats: Tree
    """After the batch."""
    named: Named


def batch_gradient(
    share: Share,
    params: Tree,
    batch_stats: Tree,
    rows: Tree,
    key: Array,
    *,
    parts: int,
) -> Gradient:
    """Returns the gradient of a loss whose shares add up over the parts of a batch.

    It is that of the whole batch, up to rounding, if a row's share depends on no other
    row and on no chance. BatchNorm and chance differ: each part is normalised by its
    own mean and variance, which go into the running ones part after part, so that these
    move `parts` times in a step; and each part draws drop path and dropout with a key
    of its own.

    Every parts-th row makes a part, so that a part of a batch that is split over
    devices is split over the same devices, and nothing moves between them.

    Args:
      share: what is to be summed; its gradient with respect to the parameters is taken.
      params: parameters.
      batch_stats: statistics before the batch.
      rows: arrays with a row for each image, their number divisible by `parts`.
      key: of what is drawn.
      parts: how many.

    Returns:
      The sums. Where there are several parts, `named` has "part_not_finite" as well:
      the first part whose loss or gradient is not finite, from 0, or -1.
    """
    gradient_of = jax.value_and_grad(share, has_aux=True)
    if parts == 1:
        (loss, (after, named)), gradients = gradient_of(params, batch_stats, rows, key)
        return Gradient(loss, gradients, after, named)

    def add(before: Gradient, index: Int[Array, ""]) -> tuple[Gradient, Array]:
        part = jax.tree.map(lambda array: _part(array, index, parts), rows)
        (loss, (after, named)), gradients = gradient_of(
            params, before.batch_stats, part, jax.random.fold_in(key, index)
        )
        is_finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(gradients))
        found = (loss, gradients, named)
        so_far = (before.loss, before.gradients, before.named)
        loss, gradients, named = jax.tree.map(jnp.add, so_far, found)
        return Gradient(loss, gradients, after, named), is_finite

    first = jax.tree.map(lambda array: _part(array, jnp.zeros((), int), parts), rows)
    (loss, (_, named)), gradients = jax.tree.map(
        lambda like: jnp.zeros(like.shape, like.dtype),
        jax.eval_shape(gradient_of, params, batch_stats, first, key),
    )
    start = Gradient(loss, gradients, batch_stats, named)
    total, is_finite = lax.scan(add, start, jnp.arange(parts))
    wrong = jnp.where(jnp.all(is_finite), -1, jnp.argmin(is_finite))
    named = total.named | {"part_not_finite": wrong.astype(jnp.float32)}
    return total._replace(named=named)


def _part(array: Array, index: Int[Array, ""], parts: int) -> Array:
    """Returns every row whose number is `index` modulo `parts`."""
    grouped = array.reshape(-1, parts, *array.shape[1:])
    return lax.dynamic_index_in_dim(grouped, index, axis=1, keepdims=False)
