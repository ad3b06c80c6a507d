"""With bfloat16 activations, what must be exact is float32."""

import jax
import numpy as np
import pytest
import tiny
from jax import numpy as jnp

from efdet_jax import assemble
from efdet_jax import mesh as meshes
from efdet_jax.models.fusion import fuse_weighted
from efdet_jax.models.norms import BatchNorm
from efdet_jax.structures import Outputs
from efdet_jax.tasks import TASKS
from efdet_jax.training import abstract_training


def half(values):
    return jnp.asarray(values, jnp.bfloat16)


@pytest.fixture(scope="module")
def config():
    config = tiny.get_config()
    config.model.dtype = "bfloat16"
    config.optimizer.name = "adamw"
    return config


def test_everything_that_a_step_keeps_or_says_is_float32(config):
    assembly = assemble.detector(config, 2)
    training = abstract_training(config, assembly, meshes.make_mesh(1))
    batch = TASKS[config.task].blank_batch(config)
    state, metrics = jax.eval_shape(training.step, training.state, batch)
    before = jax.tree.map(lambda leaf: leaf.dtype, training.state)
    assert jax.tree.map(lambda leaf: leaf.dtype, state) == before
    kinds = {leaf.dtype for leaf in jax.tree.leaves((state, metrics))}
    assert kinds == {jnp.dtype("float32"), jnp.dtype("int32")}


def test_boxes_and_scores_are_float32_from_the_heads_on(config):
    assembly = assemble.detector(config, 2)
    image = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
    outputs = jax.eval_shape(
        lambda variables, image: assembly.model.apply(variables, image, train=False),
        assembly.variables,
        image,
    )
    assert {leaf.dtype for leaf in outputs} == {jnp.dtype(jnp.float32)}
    assert isinstance(outputs, Outputs)
    predict = TASKS[config.task].make_predict_step(
        config, assembly, meshes.make_mesh(1)
    )
    batch = TASKS[config.task].blank_batch(config)
    found = jax.eval_shape(predict, assembly.variables, batch).detections
    assert found.boxes.dtype == found.scores.dtype == jnp.float32


def test_batch_norm_sums_many_values_without_losing_small_ones():
    """In bfloat16 a sum of ones would stop at 256."""
    rng = np.random.default_rng(0)
    x = half(3 + 0.25 * rng.normal(size=(8, 32, 32, 4)))
    norm = BatchNorm(momentum=0.0, epsilon=1e-3, frozen=False)
    variables = norm.init(jax.random.key(0), x, train=False)
    y, updated = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    exact = np.asarray(x, np.float64)
    found = updated["batch_stats"]
    assert found["mean"].dtype == found["var"].dtype == jnp.float32
    np.testing.assert_allclose(found["mean"], exact.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found["var"], exact.var((0, 1, 2), ddof=1), rtol=1e-3)
    assert y.dtype == jnp.bfloat16

    def loss(scale):
        params = variables["params"] | {"scale": scale}
        y, _ = norm.apply(
            variables | {"params": params}, x, train=True, mutable=["batch_stats"]
        )
        return jnp.sum(jnp.square(y.astype(jnp.float32))) / 2

    slope = jax.grad(loss)(jnp.ones(4))
    # Of n squares of normal numbers with scale s: s · n · var / (var + epsilon).
    var = exact.var((0, 1, 2))
    expected = 8 * 32 * 32 * var / (var + 1e-3)
    assert slope.dtype == jnp.float32
    np.testing.assert_allclose(slope, expected, rtol=1e-2)


@pytest.mark.parametrize("weighting", ["fast", "softmax"])
def test_shares_of_a_fusion_are_divided_before_they_are_rounded(weighting):
    """257 is no bfloat16: rounded first, the shares would be other ones."""
    weights = jnp.asarray([257.0, 255.0], jnp.float32)
    weights = weights if weighting == "fast" else jnp.log(weights)
    images = [half(np.full((1, 1, 1, 1), value)) for value in (1.0, 0.0)]
    share = 257 / 512
    found = fuse_weighted(images, weights, weighting)
    assert found.dtype == jnp.bfloat16
    assert float(found[0, 0, 0, 0]) == float(half(share))
