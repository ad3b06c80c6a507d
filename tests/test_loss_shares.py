"""Shares of the loss against sorting all of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from oracles import loss_terms

from efdet_jax.loss_shares import LossHistogram, loss_shares, make_loss_meter
from efdet_jax.structures import BACKGROUND, Batch, Outputs
from efdet_jax.targets import assign

MATCHING = {"match_iou": 0.5, "ignore_coverage": 0.5}
LOSS = tiny.get_config().loss.to_dict() | {"class_weights": None}
GRID = np.stack(np.meshgrid(np.arange(0, 64, 2), np.arange(0, 64, 2)), -1)
ANCHORS = np.concatenate([GRID, GRID + 12], axis=-1).reshape(-1, 4).astype(np.float32)


def problem(images=3, num_classes=2):
    """Random logits and boxes; the last row only fills the batch."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 40, (images, 2, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(8, 20, (images, 2, 2))], 2)
    batch = Batch(
        image=np.zeros((images, 64, 64, 3), np.uint8),
        boxes=boxes.astype(np.float32),
        classes=rng.integers(0, num_classes, (images, 2)).astype(np.int32),
        image_index=np.array([*range(images - 1), -1], np.int32),
        scale=np.ones((images, 2), np.float32),
    )
    logits = rng.normal(-4, 3, (images, len(ANCHORS), num_classes))
    codes = np.zeros((images, len(ANCHORS), 4), np.float32)
    return Outputs(jnp.asarray(logits, jnp.float32), jnp.asarray(codes)), batch


def measured(outputs, batch, **changes):
    meter = make_loss_meter(ANCHORS, matching=MATCHING, loss=LOSS | changes)
    return jax.device_get(jax.jit(meter)(outputs, batch))


def of_anchors(outputs, batch, gamma):
    """Losses of background anchors and of others, one by one, without fillers."""
    classes = assign(ANCHORS, batch.boxes, batch.classes, **MATCHING).classes
    background, objects = [], []
    for i in np.flatnonzero(batch.image_index >= 0):
        for a, class_ in enumerate(np.asarray(classes[i])):
            loss = sum(
                loss_terms.focal(float(logit), c == class_, 0.25, gamma, 0.0)
                for c, logit in enumerate(outputs.class_logits[i, a])
            )
            (background if class_ == BACKGROUND else objects).append(loss)
    return np.array(background), np.array(objects)


@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_shares_are_those_of_all_losses_sorted(gamma):
    outputs, batch = problem()
    background, objects = of_anchors(outputs, batch, gamma)
    assert len(objects) > 5
    found = loss_shares([measured(outputs, batch, gamma=gamma)])
    total = background.sum() + objects.sum()
    ascending = np.sort(background)
    curve = {
        share: ascending[: round(share * len(ascending))].sum()
        for share in (0.5, 0.9, 0.99, 0.999)
    }
    close = {"rtol": 0.02, "atol": 1e-4}
    np.testing.assert_allclose(
        found["loss_share/background"], background.sum() / total, rtol=1e-5
    )
    np.testing.assert_allclose(
        found["loss_share/easy_background"], curve[0.9] / total, **close
    )
    for share, loss in curve.items():
        name = f"loss_share_of_background/easiest_{share}"
        np.testing.assert_allclose(found[name], loss / background.sum(), **close)


def test_batches_add_up_to_their_images():
    outputs, batch = problem(images=5)
    parts = [
        measured(
            *(jax.tree.map(lambda x, s=s: x[s], part) for part in (outputs, batch))
        )
        for s in (slice(0, 2), slice(2, 5))
    ]
    whole = loss_shares([measured(outputs, batch)])
    for name, value in loss_shares(parts).items():
        np.testing.assert_allclose(value, whole[name], rtol=1e-5)


def test_focal_loss_takes_the_loss_from_easy_background():
    outputs, batch = problem()
    shares = [
        loss_shares([measured(outputs, batch, gamma=gamma)])[
            "loss_share_of_background/easiest_0.9"
        ]
        for gamma in (0.0, 1.0, 2.0)
    ]
    assert shares[0] > 1.5 * shares[1] > 1.5**2 * shares[2]


def test_what_hard_example_mining_leaves_out_has_no_share():
    outputs, batch = problem()
    found = loss_shares([measured(outputs, batch, class_loss="ohem")])
    assert found["loss_share/easy_background"] == 0
    assert 0 < found["loss_share/background"] < 1


def test_without_any_loss_there_is_no_share():
    empty = LossHistogram(np.zeros(640, np.int32), np.zeros(640), np.zeros(()))
    assert all(np.isnan(value) for value in loss_shares([empty]).values())
