"""A tree of many arrays as few long ones, and back.

Whoever writes arrays to a disk pays for each of them, however small it is, and the
state of a detector has a thousand.
"""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import serialization

from efdet_jax.structures import Tree

_LONGEST = 2**24
"""Numbers in a long array, unless one of the tree's own has more. There are several, so
that several threads write them."""


class Packed(NamedTuple):
    """A tree, packed."""

    arrays: dict[str, np.ndarray]
    """Long ones of one axis."""
    index: dict[str, Any]
    """The tree as dicts, as JSON holds them, with a `place` for every array: in which
    of `arrays` it is, where in that it begins, its shape."""


def pack(tree: Tree) -> Packed:
    """Packs a copy of a tree of arrays, on the host or whole on every device."""
    leaves, structure = jax.tree.flatten(serialization.to_state_dict(tree))
    parts: dict[str, list[np.ndarray]] = {}
    ends: dict[str, tuple[str, float]] = {}
    places = []
    for leaf in map(np.asarray, jax.device_get(leaves)):
        kind = leaf.dtype.name
        name, start = ends.get(kind, ("", math.inf))
        if start + leaf.size > _LONGEST:
            name, start = f"{kind}_{len(parts)}", 0
        parts.setdefault(name, []).append(leaf.ravel())
        ends[kind] = name, start + leaf.size
        places.append([name, start, list(leaf.shape)])
    arrays = {name: np.concatenate(those) for name, those in parts.items()}
    return Packed(arrays, jax.tree.unflatten(structure, places))


def unpack(packed: Packed) -> dict[str, Any]:
    """Returns the tree as dicts; the fields of a tuple by name, or else by number."""

    def taken(place: list) -> np.ndarray:
        name, start, shape = place
        return packed.arrays[name][start : start + math.prod(shape)].reshape(shape)

    return jax.tree.map(taken, packed.index, is_leaf=is_place)


def is_place(node: Any) -> bool:
    """Says whether a node of an index is the place of an array."""
    return isinstance(node, list)
