"""Trees of many small arrays as a few long vectors, for programs that change them all.

A detector's state has some two thousand arrays, and an optimizer does a dozen things to
each. XLA compiles, stores and loads a kernel for every one of these: of a step of D0 on
a CPU that was most of the program. Of vectors it is a dozen in all.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.tree_util import PyTreeDef, register_dataclass
from jaxtyping import Array, Float

from efdet_jax.structures import Tree

Vector = Float[Array | np.ndarray, " n"]


class _Layout(NamedTuple):
    """What vectors do not say of the tree that they were."""

    structure: PyTreeDef
    names: tuple[tuple[str, ...], ...]
    """The path of each leaf."""
    shapes: tuple[tuple[int, ...], ...]

    def groups(self) -> dict[str, dict[str, list[int]]]:
        """Returns the leaves of each vector, by their numbers."""
        groups: dict[str, dict[str, list[int]]] = {}
        for number, path in enumerate(self.names):
            part = groups.setdefault(path[0], {})
            part.setdefault(path[-1], []).append(number)
        return groups


@functools.partial(register_dataclass, data_fields=["vectors"], meta_fields=["layout"])
@dataclasses.dataclass(frozen=True)
class Flat:
    """A tree of dicts, of which what has one part and one name is one vector.

    So whatever depends on the first or the last key of a path alone, such as what is
    frozen and what decays, may treat vectors as it treats the arrays of the tree.
    """

    vectors: dict[str, dict[str, Any]]
    """First key of the paths, such as backbone → last one, such as kernel → values."""
    layout: _Layout

    @classmethod
    def of(cls, tree: Tree) -> Self:
        """Returns a tree of dicts whose arrays are all of one type."""
        leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
        names = tuple(tuple(str(key.key) for key in path) for path, _ in leaves)
        shapes = tuple(leaf.shape for _, leaf in leaves)
        layout = _Layout(structure, names, shapes)
        vectors = {
            part: {
                name: _join([leaves[number][1] for number in numbers])
                for name, numbers in named.items()
            }
            for part, named in layout.groups().items()
        }
        return cls(vectors, layout)

    def with_part(self, part: str, vectors: dict[str, Any]) -> Self:
        """Returns it with other vectors of one part."""
        return dataclasses.replace(self, vectors=self.vectors | {part: vectors})

    def tree(self) -> Tree:
        """Returns the tree; on the host, with views of the vectors."""
        layout, leaves = self.layout, {}
        for part, named in layout.groups().items():
            for name, numbers in named.items():
                names = tuple("/".join(layout.names[number]) for number in numbers)
                shapes = tuple(layout.shapes[number] for number in numbers)
                vector = self.vectors[part][name]
                split = _slices if isinstance(vector, np.ndarray) else _split
                leaves |= zip(numbers, split(vector, names, shapes), strict=True)
        in_order = [leaves[number] for number in range(len(leaves))]
        return jax.tree.unflatten(layout.structure, in_order)


def in_vectors(variables: Mapping[str, Tree]) -> dict[str, Flat]:
    """Returns `params` and `batch_stats` laid out in vectors, where they are."""
    return {name: Flat.of(variables[name]) for name in ("params", "batch_stats")}


def trees(state: Tree) -> Tree:
    """Returns a pytree on the host, and what is flat in it as the trees they were."""
    return jax.tree.map(
        lambda node: node.tree() if isinstance(node, Flat) else node,
        jax.device_get(state),
        is_leaf=lambda node: isinstance(node, Flat),
    )


def flat_like(state: Tree, restored: Tree) -> Tree:
    """Returns what `trees` made of a pytree like `state` as such a pytree again."""
    return jax.tree.map(
        lambda node, tree: Flat.of(tree) if isinstance(node, Flat) else tree,
        state,
        restored,
        is_leaf=lambda node: isinstance(node, Flat),
    )


def _join(arrays: Sequence[Array | np.ndarray]) -> Vector:
    on_host = all(isinstance(array, np.ndarray) for array in arrays)
    numpy = np if on_host else jnp
    return numpy.concatenate([numpy.ravel(array) for array in arrays])


def _slices(
    vector: Vector, names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]
) -> list[Array | np.ndarray]:
    leaves, end = [], 0
    for name, shape in zip(names, shapes, strict=True):
        start, end = end, end + math.prod(shape)
        # By its name, profiles know whose weights these are.
        with jax.named_scope("variables"), jax.named_scope(name):
            if isinstance(vector, np.ndarray):
                leaf = vector[start:end]
            else:
                leaf = lax.slice(vector, (start,), (end,))
            leaves.append(leaf.reshape(shape))
    return leaves


# The derivative of slices would be a sum of vectors that are zero but for a slice each.
_split = functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))(_slices)
_split.defvjp(
    lambda vector, names, shapes: (_slices(vector, names, shapes), None),
    lambda names, shapes, _, leaves: (_join(leaves),),
)
