"""Each loss by its name against float64, and hard examples against a sorting loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import loss_terms

from efdet_jax.losses.classes import (
    CLASS_LOSSES,
    balanced_cross_entropy,
    cross_entropy,
    focal_loss,
    ohem_loss,
)

SETTINGS = {
    "alpha": 0.3,
    "gamma": 2.0,
    "label_smoothing": 0.1,
    "negatives_per_positive": 2.0,
}


def problem(seed=0, images=3, anchors=30, num_classes=4, share=0.1):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(images, anchors, num_classes)) * 3
    is_present = np.zeros(logits.shape, bool)
    for i, a in zip(*np.nonzero(rng.random((images, anchors)) < share), strict=True):
        is_present[i, a, rng.integers(num_classes)] = True
    return jnp.asarray(logits, jnp.float32), jnp.asarray(is_present)


def in_float64(logits, is_present, *, weight, gamma, smoothing):
    """`weight` is that of (present, absent)."""
    expected = np.empty(logits.shape)
    for at in np.ndindex(*logits.shape):
        hit = bool(is_present[at])
        # An alpha of one half weighs both alike.
        half = loss_terms.focal(float(logits[at]), hit, 0.5, gamma, smoothing)
        expected[at] = 2 * half * weight[0 if hit else 1]
    return expected


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("name", "weight", "gamma"),
    [
        ("cross_entropy", (1.0, 1.0), 0.0),
        ("balanced_cross_entropy", (0.3, 0.7), 0.0),
        ("focal", (0.3, 0.7), 2.0),
    ],
)
def test_each_logit_loses_what_its_equation_says(name, weight, gamma, smoothing):
    logits, is_present = problem()
    loss_fn, names = CLASS_LOSSES[name]
    settings = SETTINGS | {"label_smoothing": smoothing}
    found = loss_fn(logits, is_present, **{name: settings[name] for name in names})
    expected = in_float64(
        logits, is_present, weight=weight, gamma=gamma, smoothing=smoothing
    )
    np.testing.assert_allclose(found, expected, rtol=2e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("alpha", [0.25, 0.5])
def test_focal_loss_with_gamma_0_is_balanced_cross_entropy(alpha, smoothing):
    logits, is_present = problem()
    shared = {"alpha": alpha, "label_smoothing": smoothing}
    losses = (
        lambda x: focal_loss(x, is_present, gamma=0.0, **shared),
        lambda x: balanced_cross_entropy(x, is_present, **shared),
    )
    focal, balanced = (f(logits) for f in losses)
    np.testing.assert_allclose(focal, balanced, rtol=1e-5, atol=3e-8)
    slopes = [jax.grad(lambda x, f=f: jnp.sum(f(x)))(logits) for f in losses]
    np.testing.assert_allclose(*slopes, rtol=1e-5, atol=3e-8)


def test_balanced_cross_entropy_of_one_half_is_half_the_cross_entropy():
    logits, is_present = problem()
    plain = cross_entropy(logits, is_present, label_smoothing=0.0)
    half = balanced_cross_entropy(logits, is_present, alpha=0.5, label_smoothing=0.0)
    np.testing.assert_array_equal(half, plain / 2)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_gradients_are_finite_differences(name):
    logits, is_present = problem(images=2, anchors=6, share=0.3)
    loss_fn, names = CLASS_LOSSES[name]
    known = SETTINGS | {"is_counted": jnp.ones((2, 6, 1), bool)}
    settings = {name: known[name] for name in names}
    total = lambda x: jnp.sum(loss_fn(x, is_present, **settings))  # noqa: E731
    gradient = jax.grad(total)(logits)
    step = 1e-5
    with jax.enable_x64(True):
        exact = np.asarray(logits, np.float64)
        shifts = step * np.eye(exact.size).reshape(-1, *exact.shape)
        high, low = (
            jax.vmap(total)(jnp.asarray(exact[None] + sign * shifts))
            for sign in (1, -1)
        )
    slopes = (np.asarray(high) - np.asarray(low)).reshape(exact.shape) / (2 * step)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-6)


def kept_by_sorting(losses, is_present, ratio):
    """Which anchors a loop keeps that sorts those of each image."""
    kept = np.zeros(losses.shape[:2], bool)
    for i in range(len(losses)):
        positives = [a for a in range(losses.shape[1]) if is_present[i, a].any()]
        negatives = [a for a in range(losses.shape[1]) if a not in positives]
        negatives.sort(key=lambda a: -losses[i, a].sum())  # stable
        kept[i, positives + negatives[: int(ratio * len(positives))]] = True
    return kept


@pytest.mark.parametrize("ratio", [0.0, 1.0, 3.0, 100.0])
@pytest.mark.parametrize("seed", range(3))
def test_ohem_keeps_objects_and_the_hardest_others_of_each_image(seed, ratio):
    logits, is_present = problem(seed)
    settings = {"negatives_per_positive": ratio, "label_smoothing": 0.0}
    settings["is_counted"] = jnp.ones((*logits.shape[:2], 1), bool)
    found = jax.jit(functools.partial(ohem_loss, **settings))(logits, is_present)
    losses = in_float64(logits, is_present, weight=(1, 1), gamma=0.0, smoothing=0.0)
    kept = kept_by_sorting(losses, np.asarray(is_present), ratio)
    np.testing.assert_allclose(found, losses * kept[..., None], rtol=2e-5)


def test_ohem_keeps_the_first_of_equals():
    is_present = jnp.zeros((1, 9, 2), bool).at[0, 4, 1].set(True)
    found = ohem_loss(
        jnp.zeros((1, 9, 2)),
        is_present,
        is_counted=jnp.ones((1, 9, 1), bool),
        negatives_per_positive=3,
        label_smoothing=0.0,
    )
    kept = np.flatnonzero(found[0].sum(axis=1))
    np.testing.assert_array_equal(kept, [0, 1, 2, 4])


def test_ohem_learns_nothing_from_an_image_without_objects():
    logits, is_present = problem(images=2)
    is_present = is_present.at[1].set(False)
    settings = {"negatives_per_positive": 3.0, "label_smoothing": 0.0}
    settings["is_counted"] = jnp.ones((*logits.shape[:2], 1), bool)
    total = lambda x: jnp.sum(ohem_loss(x, is_present, **settings))  # noqa: E731
    gradient = jax.grad(total)(logits)
    assert (gradient[0] != 0).any()
    assert (gradient[1] == 0).all()
