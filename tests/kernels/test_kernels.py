"""The loops in C++ against loops in numpy."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from oracles import convolution, norms

from efdet_jax.kernels import (
    depthwise,
    library,
    normalise,
    pointwise,
    selection,
    thin,
)
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
            no_bias = jnp.zeros(channels)
            found = depthwise.convolve(
                x, kernel, no_bias, cells, placement, activation="none"
            )
            args = (*exact(x, kernel), stride, padding)
            assert_near(found, convolution.depthwise(*args))
            pulled = depthwise.gradients(x, kernel, gradient, placement)
            expected = convolution.depthwise_gradients(*args, *exact(gradient))
            for ours, loops in zip(pulled, expected, strict=True):
                assert_near(ours, loops)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("window", [3, 5, 7])
def test_depthwise_convolution_and_what_surrounds_it_equal_loops(
    window, stride, activation
):
    rng = np.random.default_rng(window)
    act = norms.ACTIVATIONS[activation]
    # Of the last, rows are kept only as long as they are needed.
    for images, *size in [*((2, *size) for size in SIZES), (8, 60, 3)]:
        cells = draw(rng, images, *size, 9)
        expand, factor, shift = draw(rng, 9, 27), draw(rng, 27), draw(rng, 27)
        kernel, bias = draw(rng, window, window, 27), draw(rng, 27)
        affine = exact(factor, shift)
        x = act(np.asarray(cells) @ np.asarray(expand) * affine[0] + affine[1])
        x = jnp.asarray(x, jnp.float32)
        args = kernel, bias, *placed(x, window, stride, "same")
        found = depthwise.convolve(x, *args, activation=activation)
        plain = convolution.depthwise(*exact(x, kernel), stride, "same")
        expected = act(plain + np.asarray(bias))
        assert_near(found, expected)
        found = depthwise.expand_and_convolve(
            cells, expand, factor, shift, *args, activation=activation
        )
        assert_near(found, expected)


# Panels of one to three vectors of 16 channels, or of 8, and what is left of them.
@pytest.mark.parametrize("outputs", [1, 8, 16, 19, 24, 40, 48, 61, 112])
@pytest.mark.parametrize("has_gate", [True, False])
@pytest.mark.parametrize("has_addend", [True, False])
def test_pointwise_convolution_and_what_surrounds_it_equal_numpy(
    outputs, has_gate, has_addend
):
    rng = np.random.default_rng(outputs)
    for size in (*SIZES, (23, 37)):  # More cells than a thread takes at a time.
        for inputs in (1, 27):
            x, kernel = draw(rng, 2, *size, inputs), draw(rng, inputs, outputs)
            factor, shift = draw(rng, outputs), draw(rng, outputs)
            gate = draw(rng, 2, inputs) if has_gate else None
            addend = draw(rng, 2, *size, outputs) if has_addend else None
            found = pointwise.convolve(x, gate, kernel, factor, shift, addend)
            x, kernel, factor, shift = exact(x, kernel, factor, shift)
            if has_gate:
                x = x * np.asarray(gate)[:, None, None]
            expected = x @ kernel * factor + shift
            assert_near(found, expected + (np.asarray(addend) if has_addend else 0))


SPECIAL = np.asarray([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40], np.float32)


@pytest.mark.parametrize("size", [1, 7, 5000])
@pytest.mark.parametrize("draw_values", ["ties", "all kinds", "equal"])
def test_the_highest_values_are_those_of_sorting(size, draw_values):
    rng = np.random.default_rng(size)
    values = {
        "ties": rng.integers(-3, 3, (3, size)).astype(np.float32),
        "all kinds": np.where(
            rng.random((3, size)) < 0.5,
            rng.choice(SPECIAL, (3, size)),
            rng.normal(size=(3, size)),
        ).astype(np.float32),
        "equal": np.full((3, size), -2.5, np.float32),
    }[draw_values]
    for count in {1, (size + 1) // 2, size}:
        highest, places = selection.top(jnp.asarray(values), count)
        for row, found, where in zip(values, highest, places, strict=True):
            # NaN first, then by value; 0 before -0; of equals what stands first.
            order = sorted(
                range(size),
                key=lambda i: (not np.isnan(row[i]), -row[i], np.signbit(row[i]), i),
            )
            np.testing.assert_array_equal(where, order[:count])
            np.testing.assert_array_equal(found, row[order[:count]])


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
    found = depthwise.convolve(x, kernel, bias, cells, placement, activation="silu")
    expected = norms.ACTIVATIONS["silu"](*exact(x))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_not_a_number_stays_so(activation):
    x = jnp.full((1, 3, 3, 9), jnp.nan)
    kernel, vector = jnp.ones((3, 3, 9)), jnp.ones(9)
    cells, placement = placed(x, 3, 1, "same")
    args = kernel, vector, cells, placement
    y = depthwise.convolve(x, *args, activation=activation)
    assert np.isnan(y).all()
    expand = jnp.eye(9), vector, vector
    y = depthwise.expand_and_convolve(x, *expand, *args, activation=activation)
    assert np.isnan(y).all()
    assert np.isnan(pointwise.convolve(x, None, *expand, None)).all()
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
