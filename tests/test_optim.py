"""The learning rate and the optimizer, against numbers worked by hand."""

import jax
import numpy as np
import optax
import pytest

from efdet_jax.optim import DIRECTIONS, learning_rate_schedule, make_optimizer

SCHEDULE = {
    "learning_rate": 0.08,
    "reference_batch": 64,
    "warmup_steps": 100,
    "warmup_start": 0.1,
    "steps": 1000,
}


@pytest.mark.parametrize(("batch_size", "peak"), [(64, 0.08), (128, 0.16), (8, 0.01)])
def test_the_rate_is_stated_for_a_batch_of_64(batch_size: int, peak: float):
    rate = learning_rate_schedule(batch_size=batch_size, **SCHEDULE)
    np.testing.assert_allclose(rate(0), peak / 10, rtol=1e-6)
    np.testing.assert_allclose(rate(50), peak * 0.55, rtol=1e-6)
    np.testing.assert_allclose(rate(100), peak, rtol=1e-6)
    np.testing.assert_allclose(rate(550), peak / 2, rtol=1e-6)
    assert rate(1000) == 0


def test_the_rate_rises_in_warm_up_and_never_again():
    # google/automl's reaches 0 early and climbs: see efdet_jax.optim.
    rate = learning_rate_schedule(batch_size=64, **SCHEDULE)
    rates = np.array([rate(step) for step in range(1001)])
    assert (np.diff(rates[:101]) > 0).all()
    assert (np.diff(rates[100:]) < 0).all()


def test_warm_up_fits_into_a_short_run():
    rate = learning_rate_schedule(batch_size=64, **SCHEDULE | {"steps": 10})
    assert rate(10) == 0
    assert rate(9) > 0


def optimizer(**changes) -> optax.GradientTransformation:
    settings = {
        "name": "sgd",
        "momentum": 0.9,
        "decoupled_weight_decay": 0.0,
        "clip_norm": 10.0,
    }
    return make_optimizer(lambda step: 0.1, **settings | changes)


def walk(tx: optax.GradientTransformation, params, gradients):
    """Returns the parameters after one step for each gradient."""
    state = tx.init(params)
    for gradient in gradients:
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_sgd_has_momentum_that_is_not_nesterovs():
    params, gradient = {"bias": np.ones(3)}, {"bias": np.full(3, 2.0)}
    walked = walk(optimizer(), params, [gradient, gradient])
    # The second step adds 0.9 of the first to its own: 1 less 0.2 less 0.38.
    np.testing.assert_allclose(walked["bias"], 0.42, rtol=1e-6)


def test_the_whole_gradient_is_clipped_not_each_part():
    params = {"a": {"bias": np.zeros(1)}, "b": {"bias": np.zeros(1)}}
    gradient = {"a": {"bias": np.array([30.0])}, "b": {"bias": np.array([40.0])}}
    walked = walk(optimizer(), params, [gradient])
    moved = [float(leaf[0]) for leaf in jax.tree.leaves(walked)]
    np.testing.assert_allclose(moved, [-0.6, -0.8], rtol=1e-6)


def test_decay_shrinks_kernels_alone_by_the_rate():
    params = {"kernel": np.ones(2), "bias": np.ones(2), "scale": np.ones(2)}
    still = jax.tree.map(np.zeros_like, params)
    walked = walk(optimizer(decoupled_weight_decay=0.5), params, [still])
    np.testing.assert_allclose(walked["kernel"], 0.95, rtol=1e-6)
    np.testing.assert_array_equal(walked["bias"], 1)
    np.testing.assert_array_equal(walked["scale"], 1)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_every_direction_goes_downhill(name: str):
    tx = optimizer(name=name)
    params = {"kernel": np.array([3.0, -2.0])}
    state = tx.init(params)
    for _ in range(200):
        updates, state = tx.update(params, state, params)  # the gradient of |x|²/2
        params = optax.apply_updates(params, updates)
    assert np.abs(params["kernel"]).max() < 0.05
