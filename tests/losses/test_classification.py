import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp

from efdet_jax.losses import smoothed_cross_entropy

RANDOM = np.random.default_rng(0)
LOGITS = jnp.asarray(RANDOM.normal(0, 3, (7, 5)), jnp.float32)
CLASSES = jnp.asarray(RANDOM.integers(0, 5, 7))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_loss_and_gradient_are_those_of_optax(smoothing):
    def theirs(logits):
        targets = optax.smooth_labels(jax.nn.one_hot(CLASSES, 5), smoothing)
        return optax.softmax_cross_entropy(logits, targets).mean()

    def ours(logits):
        return smoothed_cross_entropy(logits, CLASSES, label_smoothing=smoothing)

    np.testing.assert_allclose(ours(LOGITS), theirs(LOGITS), rtol=1e-6)
    np.testing.assert_allclose(
        jax.grad(ours)(LOGITS), jax.grad(theirs)(LOGITS), rtol=1e-5, atol=1e-7
    )


def test_equal_logits_cost_the_logarithm_of_the_classes():
    loss = smoothed_cross_entropy(
        jnp.full((2, 8), 3.0), jnp.array([0, 7]), label_smoothing=0.1
    )
    np.testing.assert_allclose(loss, np.log(8), rtol=1e-6)


def test_logits_far_apart_do_not_overflow():
    logits = jnp.array([[1e4, -1e4], [-1e4, 1e4]])
    loss = smoothed_cross_entropy(logits, jnp.array([0, 0]), label_smoothing=0.0)
    np.testing.assert_allclose(loss, 1e4)
