"""A tree as a few vectors: what comes out is what went in, gradients too."""

import jax
import numpy as np
import optax
from jax import numpy as jnp
from oracles.trees import flat_arrays

from efdet_jax.flat import Flat, flat_like, trees

SHAPES = {
    "backbone": {
        "stem": {"kernel": (3, 3, 2), "bias": (2,)},
        "block": {"conv": {"kernel": (2, 4)}, "bn": {"scale": (4,), "bias": (4,)}},
    },
    "head": {"kernel": (1,), "scale": ()},
}


def drawn(seed, array=np.asarray):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: array(rng.normal(size=shape), np.float32),
        SHAPES,
        is_leaf=lambda node: isinstance(node, tuple),
    )


def check_same(found, expected):
    found, expected = flat_arrays(found), flat_arrays(expected)
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        assert found[path].shape == value.shape, path
        np.testing.assert_array_equal(found[path], value, err_msg=path)


def test_a_tree_comes_back_on_the_host_and_on_devices():
    for array in (np.asarray, jnp.asarray):
        check_same(Flat.of(drawn(0, array)).tree(), drawn(0))
    check_same(jax.jit(lambda tree: Flat.of(tree).tree())(drawn(0)), drawn(0))


def test_a_vector_holds_what_one_part_has_by_one_name():
    tree = drawn(0)
    vectors = Flat.of(tree).vectors
    assert {part: set(named) for part, named in vectors.items()} == {
        "backbone": {"kernel", "bias", "scale"},
        "head": {"kernel", "scale"},
    }
    inside = tree["backbone"]
    expected = np.concatenate([inside["block"]["bn"]["bias"], inside["stem"]["bias"]])
    np.testing.assert_array_equal(vectors["backbone"]["bias"], expected)
    assert vectors["head"]["scale"].shape == (1,)


def test_the_host_keeps_what_is_on_the_host():
    flat = Flat.of(drawn(0))
    kernel = flat.tree()["backbone"]["stem"]["kernel"]
    assert isinstance(kernel, np.ndarray)
    assert np.shares_memory(kernel, flat.vectors["backbone"]["kernel"])


def test_a_gradient_is_that_of_the_tree():
    weights = drawn(1, jnp.asarray)

    def loss(tree):
        products = jax.tree.map(lambda x, w: jnp.sum(jnp.sin(x) * w), tree, weights)
        return jnp.prod(jnp.stack(jax.tree.leaves(products)))

    found = jax.grad(lambda flat: loss(flat.tree()))(Flat.of(drawn(0, jnp.asarray)))
    check_same(found.tree(), jax.grad(loss)(drawn(0, jnp.asarray)))
    # One slice alone counts, and the others have no gradient.
    one = jax.grad(lambda flat: flat.tree()["head"]["kernel"][0])
    found = one(Flat.of(drawn(0, jnp.asarray))).tree()
    expected = jax.tree.map(np.zeros_like, drawn(0))
    expected["head"]["kernel"][0] = 1
    check_same(found, expected)


def test_a_part_can_be_replaced():
    flat, other = Flat.of(drawn(0)), Flat.of(drawn(1))
    mixed = flat.with_part("head", other.vectors["head"]).tree()
    check_same(mixed["head"], drawn(1)["head"])
    check_same(mixed["backbone"], drawn(0)["backbone"])


def test_a_state_is_trees_on_the_disk_and_flat_again():
    optimizer = optax.adam(0.1)
    flat = Flat.of(drawn(0, jnp.asarray))
    state = {"params": flat, "moments": optimizer.init(flat), "step": jnp.asarray(3)}
    as_trees = trees(state)
    check_same(
        as_trees,
        {"params": drawn(0), "moments": optimizer.init(drawn(0)), "step": np.array(3)},
    )
    back = flat_like(state, as_trees)
    assert jax.tree.structure(back) == jax.tree.structure(state)
    check_same(back, state)
