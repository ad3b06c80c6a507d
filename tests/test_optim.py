import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp

from efdet_jax import validation
from efdet_jax.optim import (
    DIRECTIONS,
    describe_schedule,
    learning_rate_schedule,
    make_optimizer,
)

SCHEDULE = {
    "schedule": "cosine",
    "learning_rate": 0.08,
    "reference_batch": 64,
    "batch_size": 64,
    "warmup_steps": 100,
    "warmup_start": 0.008,
    "steps": 1000,
}


def rates(**changes):
    settings = SCHEDULE | changes
    schedule = learning_rate_schedule(**settings)
    return np.asarray(schedule(jnp.arange(settings["steps"] + 1)))


def test_the_rate_starts_at_its_share_peaks_after_warm_up_and_ends_at_0():
    found = rates()
    np.testing.assert_allclose(found[[0, 50, 100]], [0.008, 0.044, 0.08], rtol=1e-5)
    assert found.argmax() == 100
    assert found[-1] == pytest.approx(0, abs=1e-9)


def test_the_rate_rises_in_warm_up_and_never_after():
    change = np.diff(rates())
    assert (change[:100] > 0).all()
    assert (change[100:] <= 0).all()


def test_halfway_down_the_cosine_is_half_of_the_peak():
    assert rates()[550] == pytest.approx(0.04, rel=1e-5)


def test_the_peak_is_proportional_to_the_batch_and_the_start_is_not():
    found = rates(batch_size=16)
    np.testing.assert_allclose(found[[0, 100]], [0.008, 0.02], rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 50, 100, 101])
def test_a_run_shorter_than_its_warm_up_still_has_a_rate(steps):
    assert np.isfinite(rates(steps=steps)).all()


PARAMS = {
    "conv": {"kernel": jnp.asarray([[1.0, -2.0]]), "bias": jnp.asarray([3.0, 4.0])},
    "bn": {"scale": jnp.asarray([5.0]), "bias": jnp.asarray([-1.0])},
    "p3_out_weights": jnp.asarray([1.0, 2.0]),
}
RATE = 0.1


def walk(gradients, **changes):
    """The parameters after one step per entry of `gradients`."""
    settings = {
        "name": "sgd",
        "momentum": 0.9,
        "decoupled_weight_decay": 0.0,
        "clip_norm": 1e9,
    }
    optimizer = make_optimizer(lambda step: RATE, **(settings | changes))
    params, state = PARAMS, optimizer.init(PARAMS)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def constant(value):
    return jax.tree.map(lambda x: jnp.full_like(x, value), PARAMS)


def check_moved(params, distance):
    jax.tree.map(
        lambda after, before: np.testing.assert_allclose(
            after, before - distance, rtol=1e-5
        ),
        params,
        PARAMS,
    )


def test_every_direction_is_in_the_config_and_below():
    assert set(DIRECTIONS) == {"sgd", "adamw"}
    assert set(validation.CHOICES["optimizer.name"]) == set(DIRECTIONS)


def test_sgd_gathers_momentum():
    check_moved(walk([constant(1.0), constant(2.0)]), RATE * (1 + (0.9 * 1 + 2)))


def test_adam_takes_unit_steps_along_a_constant_gradient():
    check_moved(walk([constant(3.0)] * 4, name="adamw"), RATE * 4)


def test_adam_has_the_momentum_asked_for():
    b1, b2, mean, square, moved = 0.5, 0.999, 0.0, 0.0, 0.0
    for step, gradient in enumerate([1.0, -2.0, 0.5], start=1):
        mean = b1 * mean + (1 - b1) * gradient
        square = b2 * square + (1 - b2) * gradient**2
        moved += RATE * (mean / (1 - b1**step)) / np.sqrt(square / (1 - b2**step))
    gradients = [constant(value) for value in (1.0, -2.0, 0.5)]
    check_moved(walk(gradients, name="adamw", momentum=b1), moved)


def test_clipping_bounds_the_norm_of_the_whole_gradient():
    # 8 numbers of 3.0 have the norm sqrt(72).
    check_moved(walk([constant(3.0)], clip_norm=2.0), RATE * 3 * 2 / np.sqrt(72))
    check_moved(walk([constant(0.1)], clip_norm=2.0), RATE * 0.1)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_decay_is_taken_off_kernels_only_and_scaled_by_the_rate(name):
    params = walk([constant(0.0)], name=name, decoupled_weight_decay=0.5)
    expected = jax.tree.map(np.asarray, PARAMS)
    expected["conv"]["kernel"] = PARAMS["conv"]["kernel"] * (1 - RATE * 0.5)
    jax.tree.map(
        lambda found, wanted: np.testing.assert_allclose(found, wanted, rtol=1e-6),
        params,
        expected,
    )


@pytest.mark.parametrize("name", DIRECTIONS)
def test_every_direction_goes_downhill(name):
    optimizer = make_optimizer(
        lambda step: RATE,
        name=name,
        momentum=0.9,
        decoupled_weight_decay=0.0,
        clip_norm=10.0,
    )
    params = {"kernel": jnp.asarray([3.0, -2.0])}
    state = optimizer.init(params)
    for _ in range(200):
        updates, state = optimizer.update(params, state, params)  # of |x|² / 2
        params = optax.apply_updates(params, updates)
    assert np.abs(params["kernel"]).max() < 0.05


@pytest.mark.parametrize(
    ("changes", "peak", "odd"),
    [
        ({}, "0.08", []),
        ({"batch_size": 4}, "0.005", ["warm-up goes down"]),
        ({"warmup_start": 0.1}, "0.08", ["warm-up goes down"]),
        ({"warmup_steps": 1000}, "0.08", ["warm-up never ends"]),
        ({"batch_size": 4, "warmup_start": 0.0}, "0.005", []),
    ],
)
def test_a_schedule_says_its_peak_and_what_is_odd_in_it(changes, peak, odd):
    settings = SCHEDULE | changes
    told, found = describe_schedule(**settings)
    assert f"learning rate {peak} at its peak" in told
    assert [each.partition(":")[0] for each in found] == odd
    rates = learning_rate_schedule(**settings)(np.arange(1000))
    is_down = rates[1] < rates[0]
    assert is_down == ("warm-up goes down" in odd)
