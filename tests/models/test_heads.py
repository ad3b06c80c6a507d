import functools

import jax
import numpy as np
from jax import numpy as jnp
from style import STYLE

from efdet_jax.models.heads import Head

HEAD = Head(values_per_anchor=2, num_anchors=3, repeats=2, style=STYLE)


def features(rng):
    return {
        level: jnp.asarray(
            rng.normal(size=(2, 16 >> level, 8 >> level, 4)), jnp.float32
        )
        for level in (2, 1)
    }


def random_variables(rng, features):
    init = functools.partial(HEAD.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), features)
    return jax.tree.map(
        lambda s: jnp.asarray(rng.uniform(0.5, 1.5, s.shape), s.dtype), shapes
    )


def test_convolutions_are_shared_over_levels_and_norms_are_not():
    rng = np.random.default_rng(0)
    params = random_variables(rng, features(rng))["params"]
    assert set(params) == {
        "conv_0",
        "conv_1",
        "predict",
        "bn_0_p1",
        "bn_0_p2",
        "bn_1_p1",
        "bn_1_p2",
    }


def test_anchors_are_ordered_by_level_row_column_and_anchor():
    rng = np.random.default_rng(0)
    images = features(rng)
    variables = random_variables(rng, images)
    run = functools.partial(HEAD.apply, variables, train=False)
    together = run(images)
    assert together.shape == (2, (8 * 4 + 4 * 2) * 3, 2)
    # Nothing of one level touches another.
    fine, coarse = (run({level: images[level]}) for level in (1, 2))
    np.testing.assert_allclose(together, np.concatenate([fine, coarse], 1), rtol=1e-5)
    # A change in one corner is felt in the anchors of that corner's cells only: three
    # convolutions of 3 x 3 see three cells far.
    moved = {1: images[1].at[:, 7, 3].add(1.0)}
    touched = np.abs(run(moved) - fine).max((0, 2)) > 1e-6
    by_cell = touched.reshape(8, 4, 3)
    assert by_cell[7, 3].all()
    assert not by_cell[:4].any()


def test_channels_of_the_predictor_are_anchor_major():
    rng = np.random.default_rng(1)
    images = {1: features(rng)[1]}
    variables = random_variables(rng, images)
    bias = variables["params"]["predict"]["pointwise"]["bias"]
    shifted = jax.tree.map(lambda x: x, variables)
    shifted["params"]["predict"]["pointwise"]["bias"] = bias.at[2 * 2 + 1].add(7.0)
    before, after = (HEAD.apply(v, images, train=False) for v in (variables, shifted))
    difference = np.asarray(after - before).reshape(2, 8 * 4, 3, 2)
    expected = np.zeros((3, 2))
    expected[2, 1] = 7
    np.testing.assert_allclose(
        difference, np.broadcast_to(expected, difference.shape), atol=1e-4
    )
