"""Many arrays as few: what comes out is what went in, by name and to the bit."""

import json
from typing import NamedTuple

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from efdet_jax import packing
from efdet_jax.packing import Packed, pack, unpack


class Pair(NamedTuple):
    first: dict
    second: tuple


def tree(rng):
    """Arrays of many shapes and three types, as a state has them."""

    def some(count):
        shapes = [(), (1,), (0, 4), (7,), (3, 5), (2, 3, 4)]
        return {
            f"layer_{i}": jnp.asarray(rng.random(shapes[i % len(shapes)]), jnp.float32)
            for i in range(count)
        }

    return Pair(
        {"head": some(40), "nothing": {}, "half": jnp.asarray([1.5, -2], jnp.bfloat16)},
        (jnp.asarray(7, jnp.int32), (), some(25)),
    )


@pytest.mark.parametrize("longest", [1, 20, 2**24])
def test_a_tree_comes_back_to_the_bit_through_json(longest, monkeypatch):
    monkeypatch.setattr(packing, "_LONGEST", longest)
    given = tree(np.random.default_rng(0))
    packed = pack(given)
    back = unpack(Packed(packed.arrays, json.loads(json.dumps(packed.index))))
    assert back["first"]["nothing"] == {}
    assert back["second"]["1"] == {}
    pairs = [
        (given.first["half"], back["first"]["half"]),
        (given.second[0], back["second"]["0"]),
        *zip(
            jax.tree.leaves([given.first["head"], given.second[2]]),
            jax.tree.leaves([back["first"]["head"], back["second"]["2"]]),
            strict=True,
        ),
    ]
    assert len(pairs) == 67
    for before, after in pairs:
        assert (after.dtype, after.shape) == (before.dtype, before.shape)
        assert after.tobytes() == np.asarray(before).tobytes()


def test_there_is_one_long_array_for_each_type_until_it_is_too_long(monkeypatch):
    given = tree(np.random.default_rng(0))
    assert len(pack(given).arrays) == 3
    monkeypatch.setattr(packing, "_LONGEST", 50)
    arrays = pack(given).arrays
    assert 3 < len(arrays) < 15
    assert all(array.size <= 50 for array in arrays.values())
