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

    arrays: dict[str, Any]
    """Long ones of one axis, on the host; and, as they were, those that the devices
    have in parts."""
    index: dict[str, Any]
    """The tree as dicts, as JSON holds them, with a `place` for every array: its name
    in `arrays`, where in that it begins, its shape. One in parts begins nowhere."""


def pack(tree: Tree) -> Packed:
    """Packs a tree of arrays; what every device has whole is copied to the host."""
    leaves, structure = jax.tree.flatten(serialization.to_state_dict(tree))
    is_whole = [getattr(leaf, "is_fully_replicated", True) for leaf in leaves]
    values = jax.device_get(
        [leaf if whole else None for leaf, whole in zip(leaves, is_whole, strict=True)]
    )
    arrays: dict[str, Any] = {}
    parts: dict[str, list[np.ndarray]] = {}
    ends: dict[str, tuple[str, float]] = {}
    places = []
    for number, (leaf, value) in enumerate(zip(leaves, values, strict=True)):
        if value is None:
            name, start = f"parts_{number}", None
            arrays[name] = leaf
        else:
            kind = value.dtype.name
            name, start = ends.get(kind, ("", math.inf))
            if start + value.size > _LONGEST:
                name, start = f"{kind}_{len(parts)}", 0
            parts.setdefault(name, []).append(value.ravel())
            ends[kind] = name, start + value.size
        places.append([name, start, list(leaf.shape)])
    arrays |= {name: np.concatenate(those) for name, those in parts.items()}
    return Packed(arrays, jax.tree.unflatten(structure, places))


def unpack(packed: Packed) -> dict[str, Any]:
    """Returns the tree as dicts; the fields of a tuple by name, or else by number."""

    def taken(place: list) -> Any:
        name, start, shape = place
        array = packed.arrays[name]
        if start is None:
            return array
        return array[start : start + math.prod(shape)].reshape(shape)

    return jax.tree.map(taken, packed.index, is_leaf=is_place)


def is_place(node: Any) -> bool:
    """Says whether a node of an index is the place of an array."""
    return isinstance(node, list)
