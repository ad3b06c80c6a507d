"""The loops in C++ against loops in numpy."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from oracles import convolution, norms

from efdet_jax.kernels import depthwise, library, normalise, thin
from efdet_jax.kernels.activations import ACTIVATIONS
from efdet_jax.models.convolution import placed

SIZES = ((8, 8), (7, 9), (1, 3), (19, 22))
# Vectors of 16, of 8 and of one channel, and what is left of them.
CHANNELS = (1, 8, 27, 48)

pytestmark = pytest.mark.skipif(
    not library.is_loaded(), reason="there is no C++ compiler here"
)


def draw(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def exact(*arrays):
    return [np.asarray(array, np.float64) for array in arrays]


def assert_near(found, expected, tolerance=2e-6):
    """Within a share of the largest value, as sums of many terms are."""
    np.testing.assert_allclose(
        found, expected, atol=tolerance * max(1.0, np.abs(expected).max())
    )


# PyTorch's padding of even windows, or with large strides, has other output sizes.
@pytest.mark.parametrize(
    ("stride", "padding"), [(1, "same"), (2, "same"), (3, "same"), (2, "symmetric")]
)
@pytest.mark.parametrize("window", depthwise.WINDOWS)
def test_depthwise_convolution_and_its_gradients_equal_loops(window, stride, padding):
    if padding == "symmetric":
        window |= 1
    rng = np.random.default_rng(window)
    for size in SIZES:
        for channels in CHANNELS:
            x = draw(rng, 2, *size, channels)
            kernel = draw(rng, window, window, channels)
            cells, placement = placed(x, window, stride, padding)
            gradient = draw(rng, 2, *cells, channels)
            found = depthwise.convolve(x, kernel, cells, placement)
            args = (*exact(x, kernel), stride, padding)
            assert_near(found, convolution.depthwise(*args))
            pulled = depthwise.gradients(x, kernel, gradient, placement)
            expected = convolution.depthwise_gradients(*args, *exact(gradient))
            for ours, loops in zip(pulled, expected, strict=True):
                assert_near(ours, loops)


@pytest.mark.parametrize("has_norm_before", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("window", [3, 5, 7])
def test_depthwise_between_norms_equals_loops(
    window, stride, activation, has_norm_before
):
    rng = np.random.default_rng(window)
    for size in (*SIZES, (40, 11)):  # More rows than are kept at a time.
        x, kernel = draw(rng, 2, *size, 27), draw(rng, window, window, 27)
        factor, shift, bias = (draw(rng, 27) for _ in range(3))
        found = depthwise.convolve_activated(
            x,
            (factor, shift) if has_norm_before else None,
            kernel,
            bias,
            *placed(x, window, stride, "same"),
            activation=activation,
        )
        act = norms.ACTIVATIONS[activation]
        x, kernel, factor, shift, bias = exact(x, kernel, factor, shift, bias)
        before = act(x * factor + shift) if has_norm_before else x
        expected = act(convolution.depthwise(before, kernel, stride, "same") + bias)
        assert_near(found, expected)


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("window", [1, 3, 5, 7])
def test_thin_convolution_and_its_gradient_equal_loops(
    window, stride, channels, padding
):
    rng = np.random.default_rng(window)
    for size in SIZES:
        for filters in (5, 16, 40):
            x = draw(rng, 2, *size, channels)
            kernel = draw(rng, window, window, channels, filters)
            bias = draw(rng, filters)
            cells, placement = placed(x, window, stride, padding)
            found = thin.convolve(x, kernel, bias, cells, placement, activation="silu")
            plain = convolution.full(*exact(x, kernel), stride, padding)
            assert_near(found, norms.ACTIVATIONS["silu"](plain + np.asarray(bias)))
            gradient = draw(rng, 2, *cells, filters)
            pulled = thin.kernel_gradient(x, gradient, window, placement)
            args = (window, stride, padding, *exact(gradient))
            assert_near(pulled, convolution.full_gradient(*exact(x), *args))


@pytest.mark.parametrize("activation", ACTIVATIONS)
# The last has several blocks of rows.
@pytest.mark.parametrize("shape", [(1, 1, 2, 3), (2, 7, 9, 27), (3, 40, 41, 48)])
def test_normalisation_and_its_gradients_equal_numpy(shape, activation):
    rng = np.random.default_rng(len(activation))
    x = 3 * draw(rng, *shape) + 2
    scale, bias = draw(rng, shape[-1]), draw(rng, shape[-1])
    gradient = draw(rng, *shape)
    settings = {"epsilon": 1e-3, "activation": activation}
    found = normalise.normalise(x, scale, bias, **settings)
    args = (*exact(x, scale, bias), 1e-3, activation)
    for ours, numpys in zip(found, norms.normalise(*args), strict=True):
        assert_near(ours, numpys, 5e-6)
    _, mean, var = found
    pulled = normalise.gradients(x, scale, bias, mean, var, gradient, **settings)
    expected = norms.gradients(*args, *exact(gradient))
    for ours, numpys in zip(pulled, expected, strict=True):
        assert_near(ours, numpys, 2e-5)


def test_silu_is_right_from_minus_100_to_100():
    x = jnp.linspace(-100, 100, 4001, dtype=jnp.float32).reshape(1, 1, -1, 1)
    kernel, bias = jnp.ones((1, 1, 1)), jnp.zeros(1)
    cells, placement = placed(x, 1, 1, "same")
    found = depthwise.convolve_activated(
        x, None, kernel, bias, cells, placement, activation="silu"
    )
    expected = norms.ACTIVATIONS["silu"](*exact(x))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_not_a_number_stays_so(activation):
    x = jnp.full((1, 3, 3, 9), jnp.nan)
    kernel, vector = jnp.ones((3, 3, 9)), jnp.ones(9)
    cells, placement = placed(x, 3, 1, "same")
    for before in (None, (vector, vector)):
        y = depthwise.convolve_activated(
            x, before, kernel, vector, cells, placement, activation=activation
        )
        assert np.isnan(y).all()
    settings = {"epsilon": 1e-3, "activation": activation}
    for found in normalise.normalise(x, vector, vector, **settings):
        assert np.isnan(found).all()


def test_what_is_traced_aside_has_none_of_them():
    x, kernel = jnp.zeros((1, 8, 8, 16)), jnp.zeros((3, 3, 16))
    assert library.are_usable(x, kernel)
    assert not library.are_usable(x.astype(jnp.bfloat16))
    with library.set_aside():
        assert not library.are_usable(x, kernel)
    assert library.are_usable(x, kernel)
    assert jax.device_count() == 1
