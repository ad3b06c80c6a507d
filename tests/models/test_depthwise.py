import functools

import jax
import numpy as np
import pytest
from jax import lax
from jax import numpy as jnp
from oracles import convolution

from efdet_jax.models.depthwise import (
    channel_sums,
    depthwise_conv,
)
from efdet_jax.models.windows import fit_windows, windows

SIZES = ((8, 8), (7, 9), (5, 6), (1, 3))


def problem(window, stride, size):
    rng = np.random.default_rng(window * 10 + stride)
    x = rng.normal(size=(2, *size, 3)).astype(np.float32)
    kernel = rng.normal(size=(window, window, 3)).astype(np.float32)
    cells = tuple(-(-side // stride) for side in size)
    gradient = rng.normal(size=(2, *cells, 3)).astype(np.float32)
    return tuple(map(jnp.asarray, (x, kernel, gradient)))


@functools.partial(jax.jit, static_argnums=(3, 4))
def value_and_gradients(x, kernel, gradient, stride, padding="same"):
    y, pull = jax.vjp(lambda x, k: depthwise_conv(x, k, stride, padding), x, kernel)
    return y, *pull(gradient)


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("window", [3, 5])
def test_convolution_and_its_gradients_equal_loops(window, stride, size, padding):
    problem_arrays = problem(window, stride, size)
    found = value_and_gradients(*problem_arrays, stride, padding)
    arrays = [np.asarray(array, np.float64) for array in problem_arrays]
    expected = (
        convolution.depthwise(*arrays[:2], stride, padding),
        *convolution.depthwise_gradients(*arrays[:2], stride, padding, arrays[2]),
    )
    for ours, loops in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, loops, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("window", [3, 5])
def test_convolution_equals_the_native_one_of_xla(window, stride):
    x, kernel, _ = problem(window, stride, (13, 10))
    native = lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=3,
    )
    ours = depthwise_conv(x, kernel, stride, "same")
    np.testing.assert_allclose(ours, native, rtol=1e-5, atol=1e-5)


def test_a_convolution_in_bfloat16_stays_in_bfloat16_and_near_float32():
    x, kernel, gradient = problem(3, 2, (9, 8))
    exact = value_and_gradients(x, kernel, gradient, 2)
    low = [a.astype(jnp.bfloat16) for a in (x, kernel, gradient)]
    for rounded, full in zip(value_and_gradients(*low, 2), exact, strict=True):
        assert rounded.dtype == jnp.bfloat16
        np.testing.assert_allclose(rounded.astype(np.float32), full, atol=0.15)


@pytest.mark.parametrize("window", [2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", range(1, 12))
def test_padding_is_that_of_the_window_positions_of_same(size, stride, window):
    output, before, after = fit_windows(size, window, stride, "same")
    assert output == -(-size // stride)
    assert after - before in (0, 1)
    reach = (output - 1) * stride + window
    assert before + size + after == max(reach, size)


def test_windows_hold_the_input_under_each_tap():
    x = np.arange(1.0, 21.0, dtype=np.float32).reshape(1, 4, 5, 1)
    views = windows(jnp.asarray(x), 3, 2, "same", -1.0)
    assert len(views) == 9
    for i in range(3):
        for j in range(3):
            expected = np.full((2, 3), -1.0)
            for row, tap_i, si in convolution.positions(4, 3, 2, "same"):
                for column, tap_j, sj in convolution.positions(5, 3, 2, "same"):
                    if (tap_i, tap_j) == (i, j):
                        expected[row, column] = x[0, si, sj, 0]
            np.testing.assert_array_equal(views[3 * i + j][0, :, :, 0], expected)


@pytest.mark.parametrize("height", [1, 7, 8, 24, 33])
def test_channel_sums_add_up_every_cell_of_every_image(height):
    rng = np.random.default_rng(height)
    images = [rng.normal(size=(3, height, 5, 4)) for _ in range(2)]
    sums = channel_sums([jnp.asarray(image, jnp.float32) for image in images])
    for found, image in zip(sums, images, strict=True):
        np.testing.assert_allclose(found, image.sum((0, 1, 2)), atol=1e-4)
