import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import loss_terms, recorded

from efdet_jax.loss_shares import CLASS_KEYS
from efdet_jax.losses import class_losses, detection_loss, l2_loss
from efdet_jax.losses.boxes import huber_loss, smooth_l1_loss
from efdet_jax.losses.classes import CLASS_LOSSES, focal_loss
from efdet_jax.structures import BACKGROUND, IGNORED, Outputs, Targets

FOCAL = {"alpha": 0.25, "gamma": 1.5, "label_smoothing": 0.0}
BOXES = {"box_loss": "huber", "delta": 0.1, "box_weight": 50.0}
KNOBS = {"class_loss": "focal", **FOCAL, "negatives_per_positive": 3.0, **BOXES}


@pytest.mark.parametrize("smoothing", ["0", "0.1"])
def test_focal_loss_meets_the_reference(smoothing):
    golden = recorded.automl()
    loss = focal_loss(
        jnp.asarray(golden["focal/logits"]),
        jnp.asarray(golden["focal/targets"] == 1),
        alpha=0.25,
        gamma=1.5,
        label_smoothing=float(smoothing),
    )
    expected = golden[f"focal/focal_ls{smoothing}"] * golden["focal/normalizer"]
    # The reference computes log(1 + exp(-|x|)) of easy logits with an error of 1e-7.
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-7)


def test_huber_loss_meets_the_reference():
    golden = recorded.automl()
    error = jnp.asarray(golden["huber/y_pred"] - golden["huber/y_true"])
    loss = huber_loss(error, delta=float(golden["huber/delta"]))
    np.testing.assert_allclose(loss, golden["huber/huber"], rtol=1e-5, atol=1e-8)


def test_smooth_l1_of_delta_1_is_that_of_fast_rcnn():
    error = np.linspace(-3, 3, 61)
    size = np.abs(error)
    expected = np.where(size < 1, 0.5 * error**2, size - 0.5)
    found = smooth_l1_loss(jnp.asarray(error, jnp.float32), delta=1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("delta", [0.1, 1 / 9])
def test_smooth_l1_has_a_slope_of_1_beyond_delta(delta):
    slope = jax.grad(lambda e: jnp.sum(smooth_l1_loss(e, delta=delta)))
    error = jnp.array([-2.0, -delta / 2, 0.0, delta / 2, 2.0])
    np.testing.assert_allclose(slope(error), [-1, -0.5, 0, 0.5, 1], rtol=1e-5)


def check_total(losses, class_loss, box_loss, rtol=1e-5):
    np.testing.assert_allclose(losses.class_, class_loss, rtol=rtol)
    np.testing.assert_allclose(losses.box, box_loss, rtol=rtol)
    total = class_loss + KNOBS["box_weight"] * box_loss
    np.testing.assert_allclose(losses.total, total, rtol=rtol)


@pytest.mark.parametrize("smoothing", ["0", "0.1"])
def test_the_loss_of_a_level_meets_the_reference(smoothing):
    golden = recorded.automl()
    load = lambda name: jnp.asarray(golden[f"level6/{name}"])  # noqa: E731
    losses = detection_loss(
        Outputs(load("class_logits"), load("box_codes")),
        Targets(load("target_classes"), load("target_codes"), load("num_positives")),
        **{**KNOBS, "label_smoothing": float(smoothing)},
    )
    parts = (golden[f"level6/{part}_loss_{smoothing}"] for part in ("cls", "box"))
    check_total(losses, *parts)


def problem(seed=0, images=3, anchors=20, num_classes=4):
    rng = np.random.default_rng(seed)
    classes = rng.integers(BACKGROUND, num_classes, (images, anchors))
    classes[rng.random((images, anchors)) < 0.5] = BACKGROUND
    is_positive = classes != BACKGROUND
    codes = rng.normal(size=(images, anchors, 4)) * is_positive[..., None]
    codes[:, :, 1] *= rng.random((images, anchors)) < 0.7  # some are exactly 0
    outputs = Outputs(
        jnp.asarray(rng.normal(size=(images, anchors, num_classes)) * 3, jnp.float32),
        jnp.asarray(codes + rng.normal(size=codes.shape) * 0.2, jnp.float32),
    )
    targets = Targets(
        jnp.asarray(classes, jnp.int32),
        jnp.asarray(codes, jnp.float32),
        jnp.asarray(is_positive.sum(axis=1), jnp.float32),
    )
    return outputs, targets


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_the_loss_equals_a_loop_over_single_numbers(smoothing, gamma):
    outputs, targets = problem()
    knobs = {**KNOBS, "gamma": gamma, "label_smoothing": smoothing}
    expected = loss_terms.detection(
        *(np.asarray(x) for x in (*outputs, *targets[:2])),
        alpha=0.25,
        gamma=gamma,
        smoothing=smoothing,
        delta=0.1,
    )
    check_total(detection_loss(outputs, targets, **knobs), *expected)


@pytest.mark.parametrize("name", list(CLASS_LOSSES))
def test_what_is_ignored_loses_nothing_and_the_rest_as_if_it_were_not_there(name):
    outputs, targets = problem(images=1, anchors=60)
    rng = np.random.default_rng(1)
    is_ignored = (targets.classes == BACKGROUND) & (rng.random((1, 60)) < 0.4)
    knobs = {**KNOBS, "class_loss": name, "label_smoothing": 0.1}
    knobs = {key: knobs[key] for key in knobs if key in CLASS_KEYS}
    classes = jnp.where(is_ignored, IGNORED, targets.classes)
    found = class_losses(outputs.class_logits, classes, **knobs)
    assert is_ignored.sum() > 2
    assert (found[is_ignored] == 0).all()
    rest = np.flatnonzero(~is_ignored[0])
    expected = class_losses(
        outputs.class_logits[:, rest], targets.classes[:, rest], **knobs
    )
    np.testing.assert_array_equal(found[:, rest], expected)


def test_an_anchor_weighs_what_the_class_of_its_object_weighs():
    outputs, targets = problem()
    weights = np.array([0.5, 2.0, 1.0, 0.5], np.float32)
    knobs = KNOBS | {"class_loss": "cross_entropy"}
    found = detection_loss(outputs, targets, **knobs, class_weights=weights)
    classes = np.asarray(targets.classes)
    total = 0.0
    for i, a, c in np.ndindex(*outputs.class_logits.shape):
        hit = classes[i, a] == c
        logit = float(outputs.class_logits[i, a, c])
        weight = weights[classes[i, a]] if classes[i, a] >= 0 else 1.0
        total += weight * 2 * loss_terms.focal(logit, hit, 0.5, 0.0, 0.0)
    expected = total / ((classes >= 0).sum() + 1)
    np.testing.assert_allclose(found.class_, expected, rtol=1e-5)
    assert found.box == detection_loss(outputs, targets, **knobs).box


@pytest.mark.parametrize("class_loss", CLASS_LOSSES)
def test_weights_of_1_change_nothing(class_loss):
    outputs, targets = problem()
    knobs = KNOBS | {"class_loss": class_loss}
    with_weights = detection_loss(
        outputs, targets, **knobs, class_weights=np.ones(4, np.float32)
    )
    assert with_weights == detection_loss(outputs, targets, **knobs)


def test_the_box_loss_goes_by_its_name():
    outputs, targets = problem()
    huber, smooth = (
        detection_loss(outputs, targets, **KNOBS | {"box_loss": name, "delta": 0.1})
        for name in ("huber", "smooth_l1")
    )
    np.testing.assert_allclose(smooth.box, huber.box / 0.1, rtol=1e-6)
    assert smooth.class_ == huber.class_


def test_gamma_0_is_the_cross_entropy():
    logits = jnp.linspace(-8.0, 8.0, 33)
    p = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    for is_positive, probability in ((True, p), (False, 1 - p)):
        loss = focal_loss(
            logits,
            jnp.full(33, is_positive),
            alpha=0.5,
            gamma=0.0,
            label_smoothing=0.0,
        )
        np.testing.assert_allclose(loss, -0.5 * np.log(probability), rtol=1e-5)


def test_gamma_mutes_what_is_easy_more_than_what_is_hard():
    logits, is_positive = jnp.array([4.0, -4.0]), jnp.array([True, True])
    plain = focal_loss(logits, is_positive, **{**FOCAL, "gamma": 0.0})
    easy, hard = focal_loss(logits, is_positive, **FOCAL) / plain
    assert easy < 0.01 < 0.9 < hard


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("logit", [-100.0, 0.0, 100.0])
@pytest.mark.parametrize("is_positive", [True, False])
def test_gradients_are_right_at_0_and_at_extreme_logits(logit, is_positive, smoothing):
    knobs = {**FOCAL, "label_smoothing": smoothing}
    f = lambda x: focal_loss(x, jnp.asarray(is_positive), **knobs)  # noqa: E731
    value, gradient = jax.value_and_grad(f)(jnp.asarray(logit))
    assert np.isfinite(value)
    assert np.isfinite(jax.grad(jax.grad(f))(jnp.asarray(logit)))
    if logit == 0.0:
        args = (is_positive, 0.25, 1.5, smoothing)
        slope = (loss_terms.focal(1e-5, *args) - loss_terms.focal(-1e-5, *args)) / 2e-5
        np.testing.assert_allclose(gradient, slope, rtol=1e-4)
    elif (logit > 0) == is_positive:
        np.testing.assert_allclose(gradient, 0.0, atol=1e-12)
    else:
        weight = 0.25 if is_positive else 0.75
        size = weight * (1 - smoothing / 2)
        np.testing.assert_allclose(gradient, -size if is_positive else size, rtol=1e-5)


def test_a_perfect_component_takes_no_part():
    outputs, targets = problem()
    is_zero = targets.box_codes == 0
    moved = outputs._replace(box_codes=outputs.box_codes + 9.0 * is_zero)
    assert is_zero.any()
    straight, disturbed = (
        detection_loss(o, targets, **KNOBS) for o in (outputs, moved)
    )
    assert straight == disturbed


def test_a_batch_without_objects_has_a_finite_loss_and_gradient():
    outputs, targets = problem()
    empty = Targets(
        jnp.full_like(targets.classes, BACKGROUND),
        jnp.zeros_like(targets.box_codes),
        jnp.zeros_like(targets.num_positives),
    )
    loss, gradients = jax.value_and_grad(
        lambda o: detection_loss(o, empty, **KNOBS).total
    )(outputs)
    assert np.isfinite(loss)
    assert loss > 0
    assert np.isfinite(gradients.class_logits).all()
    assert (gradients.box_codes == 0).all()


def test_the_order_of_images_does_not_matter():
    outputs, targets = problem()
    order = np.array([2, 0, 1])
    shuffled = [jax.tree.map(lambda x: x[order], part) for part in (outputs, targets)]
    np.testing.assert_allclose(
        detection_loss(*shuffled, **KNOBS).total,
        detection_loss(outputs, targets, **KNOBS).total,
        rtol=1e-6,
    )


def test_outputs_in_bfloat16_are_summed_in_float32():
    outputs, targets = problem()
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), outputs)
    rounded = jax.tree.map(lambda x: x.astype(jnp.float32), half)
    losses = detection_loss(half, targets, **KNOBS)
    assert losses.total.dtype == jnp.float32
    expected = detection_loss(rounded, targets, **KNOBS)
    np.testing.assert_allclose(losses.total, expected.total, rtol=1e-6)


def test_l2_loss_counts_kernels_and_nothing_else():
    params = {
        "stem": {"conv": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.ones(3)}},
        "norm": {"scale": jnp.ones(3), "bias": jnp.ones(3)},
        "head": {"kernel": jnp.full((4,), -1.0), "kernel_scale": jnp.ones(5)},
    }
    np.testing.assert_allclose(l2_loss(params, weight=0.1), 0.1 * (6 * 4 + 4) / 2)
    gradients = jax.grad(lambda p: l2_loss(p, weight=0.1))(params)
    np.testing.assert_allclose(gradients["stem"]["conv"]["kernel"], 0.2)
    assert (gradients["stem"]["conv"]["bias"] == 0).all()
