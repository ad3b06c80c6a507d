import jax
import numpy as np
import pytest
from jax import numpy as jnp
from oracles import convolution

from efdet_jax.models import resample


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("size", [(8, 6), (7, 5), (2, 3), (9, 2)])
def test_pooling_equals_loops_whose_padding_never_wins(size, padding):
    x = random((2, *size, 3)) - 10
    half = tuple(-(-side // 2) for side in size)
    y = resample.resize(jnp.asarray(x, jnp.float32), half, padding)
    np.testing.assert_allclose(y, convolution.max_pool(x, 3, 2, padding), rtol=1e-6)


@pytest.mark.parametrize("size", [(6, 4), (5, 3)])
def test_the_gradient_of_pooling_equals_central_differences(size):
    x = random((1, *size, 2))
    half = tuple(-(-side // 2) for side in size)
    weights = random((1, *half, 2), seed=1)
    _, pull = jax.vjp(
        lambda x: resample.shrink(x, half, "same"), jnp.asarray(x, jnp.float32)
    )
    expected = convolution.numerical_gradient(
        lambda x: (convolution.max_pool(x, 3, 2, "same") * weights).sum(), x
    )
    found = pull(jnp.asarray(weights, jnp.float32))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pooling_over_several_levels_is_pooling_level_by_level():
    x = jnp.asarray(random((1, 33, 42, 2)), jnp.float32)
    halved = resample.shrink(x, (17, 21), "same")
    found = resample.shrink(x, (5, 6), "same")
    by_steps = resample.shrink(resample.shrink(halved, (9, 11), "same"), (5, 6), "same")
    np.testing.assert_array_equal(found, by_steps)


def test_pooling_to_what_is_no_level_is_refused():
    with pytest.raises(ValueError, match=r"\(8, 8\) does not lead to \(4, 2\)"):
        resample.shrink(jnp.zeros((1, 8, 8, 1)), (4, 2), "same")


@pytest.mark.parametrize(
    ("size", "target"), [((3, 4), (6, 8)), ((3, 4), (5, 7)), ((1, 2), (2, 3))]
)
def test_enlarging_repeats_the_cell_at_floor_i_in_out(size, target):
    x = random((2, *size, 3)).astype(np.float32)
    weights = random((2, *target, 3), seed=1).astype(np.float32)
    y, pull = jax.vjp(lambda x: resample.resize(x, target, "same"), jnp.asarray(x))
    expected, gradient = np.zeros((2, *target, 3)), np.zeros(x.shape)
    for i in range(target[0]):
        for j in range(target[1]):
            si, sj = i * size[0] // target[0], j * size[1] // target[1]
            expected[:, i, j] = x[:, si, sj]
            gradient[:, si, sj] += weights[:, i, j]
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_allclose(pull(jnp.asarray(weights))[0], gradient, atol=1e-5)


def test_a_feature_at_its_size_stays_as_it_is():
    x = jnp.asarray(random((1, 3, 4, 2)), jnp.float32)
    assert resample.resize(x, (3, 4), "same") is x
