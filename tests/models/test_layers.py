import functools

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from oracles import convolution

from efdet_jax.models import activations, layers, norms

EPSILON, MOMENTUM = 1e-3, 0.9
norm = norms.BatchNorm(momentum=MOMENTUM, epsilon=EPSILON, frozen=False)


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def norm_variables():
    return {
        "params": {"scale": np.float32([0.5, -2.0]), "bias": np.float32([1.0, 3.0])},
        "batch_stats": {"mean": np.float32([0.3, 7.0]), "var": np.float32([2.0, 0.1])},
    }


def normalised(x, scale, bias):
    """Batch normalisation of [b h w c] in float64."""
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(var + EPSILON) * scale + bias


@functools.partial(jax.jit, static_argnames="train")
def run_norm(variables, x, *, train):
    if not train:
        return norm.apply(variables, x, train=False)
    return norm.apply(variables, x, train=True, mutable="batch_stats")


def test_training_normalises_with_the_batch():
    variables, x = norm_variables(), random((3, 4, 5, 2)) * 3 + 5
    y, _ = run_norm(variables, x.astype(np.float32), train=True)
    expected = normalised(x, **variables["params"])
    np.testing.assert_allclose(y, expected, atol=1e-4)


def test_running_statistics_take_the_unbiased_variance():
    variables, x = norm_variables(), random((2, 1, 2, 2))
    _, updated = run_norm(variables, x.astype(np.float32), train=True)
    before, after = variables["batch_stats"], updated["batch_stats"]
    mean = MOMENTUM * before["mean"] + (1 - MOMENTUM) * x.mean((0, 1, 2))
    var = MOMENTUM * before["var"] + (1 - MOMENTUM) * x.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(after["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(after["var"], var, rtol=1e-5)


def test_a_single_value_per_channel_gives_the_bias_and_finite_statistics():
    variables = norm_variables()
    y, updated = run_norm(variables, np.ones((1, 1, 1, 2), np.float32), train=True)
    np.testing.assert_allclose(y[0, 0, 0], variables["params"]["bias"], atol=1e-3)
    assert np.isfinite(updated["batch_stats"]["var"]).all()


def test_evaluation_normalises_with_the_running_statistics():
    variables, x = norm_variables(), random((2, 3, 3, 2))
    params, stats = variables["params"], variables["batch_stats"]
    expected = (x - stats["mean"]) / np.sqrt(stats["var"] + EPSILON)
    expected = expected * params["scale"] + params["bias"]
    y = run_norm(variables, x.astype(np.float32), train=False)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_statistics_survive_a_mean_far_from_zero():
    x = random((2, 16, 16, 2)) + 30
    y, _ = run_norm(norm_variables(), x.astype(np.float32), train=True)
    expected = normalised(x, **norm_variables()["params"])
    np.testing.assert_allclose(y, expected, atol=2e-2)


def test_gradients_of_the_norm_equal_central_differences():
    variables, x = norm_variables(), random((2, 3, 2, 2))
    weights = random(x.shape, seed=1)

    @jax.jit
    def gradients(params, x):
        def loss(params, x):
            y, _ = norm.apply(
                {"params": params, "batch_stats": variables["batch_stats"]},
                x,
                train=True,
                mutable="batch_stats",
            )
            return jnp.sum(y * weights)

        return jax.grad(loss, (0, 1))(params, x)

    params = variables["params"]
    found, found_x = gradients(params, x.astype(np.float32))

    def loss(x=x, scale=params["scale"], bias=params["bias"]):
        return (normalised(x, scale, bias) * weights).sum()

    gradient = convolution.numerical_gradient
    np.testing.assert_allclose(found_x, gradient(loss, x), atol=1e-4)
    for name in ("scale", "bias"):
        expected = gradient(
            lambda value, name=name: loss(**{name: value}),
            params[name].astype(np.float64),
        )
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-4)


def test_silu_and_its_gradient_are_right_from_minus_100_to_100():
    x = np.linspace(-100, 100, 401)
    y, pull = jax.vjp(activations.silu, jnp.asarray(x, jnp.float32))
    sigmoid = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(y, x * sigmoid, rtol=1e-5, atol=1e-6)
    slope = sigmoid * (1 + x * (1 - sigmoid))
    np.testing.assert_allclose(pull(jnp.ones_like(y))[0], slope, atol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 7), (7, 3), (4, 4)])
@pytest.mark.parametrize("lead", [(5,), (2, 3, 4)])
def test_a_pointwise_convolution_is_a_matrix_product(inputs, outputs, lead):
    layer = layers.Pointwise(outputs, use_bias=True)
    params = {
        "kernel": random((inputs, outputs)).astype(np.float32),
        "bias": random((outputs,), 1).astype(np.float32),
    }
    x, gradient = random((*lead, inputs), 2), random((*lead, outputs), 3)
    y, pull = jax.vjp(
        lambda params, x: layer.apply({"params": params}, x),
        params,
        jnp.asarray(x, jnp.float32),
    )
    expected = x @ params["kernel"] + params["bias"]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    found, found_x = pull(jnp.asarray(gradient, jnp.float32))
    np.testing.assert_allclose(
        found_x, gradient @ params["kernel"].T, rtol=1e-4, atol=1e-5
    )
    flat_x, flat = x.reshape(-1, inputs), gradient.reshape(-1, outputs)
    np.testing.assert_allclose(found["kernel"], flat_x.T @ flat, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["bias"], flat.sum(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        # TensorFlow pads below and right only,
        ("same", [[10, 0], [0, 0]]),
        # PyTorch above and left only.
        ("symmetric", [[5, 7], [13, 15]]),
    ],
)
def test_a_full_convolution_pads_where_its_reference_does(padding, expected):
    layer = layers.Conv(1, window=3, stride=2, padding=padding, use_bias=False)
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[2, 2] = 1  # reads two rows down and two columns right of the window's start
    y = layer.apply({"params": {"kernel": jnp.asarray(kernel)}}, x)
    np.testing.assert_allclose(y[0, :, :, 0], expected)


def test_squeeze_excite_is_a_gate_of_channels_of_the_whole_image():
    layer, x = layers.SqueezeExcite(2, activations.silu), random((2, 3, 4, 6))
    shapes = jax.eval_shape(layer.init, jax.random.key(0), jnp.asarray(x, jnp.float32))
    variables = jax.tree.map(lambda s: jnp.asarray(random(s.shape), s.dtype), shapes)
    found = layer.apply(variables, jnp.asarray(x, jnp.float32))
    params = jax.tree.map(np.asarray, variables["params"])
    reduce, expand = params["reduce"], params["expand"]
    context = x.mean((1, 2)) @ reduce["kernel"] + reduce["bias"]
    context = context / (1 + np.exp(-context))
    gate = 1 / (1 + np.exp(-(context @ expand["kernel"] + expand["bias"])))
    np.testing.assert_allclose(found, gate, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("filters", [3, 9])
def test_a_gate_multiplies_the_channels_of_each_image(filters):
    x, gate, kernel = random((2, 3, 4, 6)), random((2, 6)), random((6, filters))
    outside = random((2, 3, 4, filters))
    arrays = [jnp.asarray(array, jnp.float32) for array in (x, gate, kernel)]
    y, pull = jax.vjp(layers.pointwise_conv, *arrays)
    gated = x * gate[:, None, None]
    np.testing.assert_allclose(y, gated @ kernel, rtol=1e-4, atol=1e-5)
    of_gated = outside @ kernel.T
    expected = (
        of_gated * gate[:, None, None],
        (of_gated * x).sum((1, 2)),
        np.einsum("bhwc,bhwd->cd", gated, outside),
    )
    for found, want in zip(pull(jnp.asarray(outside, y.dtype)), expected, strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


def test_drop_path_drops_whole_images_and_keeps_the_mean():
    x = jnp.ones((4000, 1, 2, 3))
    y = np.asarray(layers.drop_path(x, 0.8, jax.random.key(0)))
    per_image = y.reshape(4000, -1)
    assert (per_image == per_image[:, :1]).all()
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.8)}
    assert abs(y.mean() - 1) < 0.03
