import numpy as np
import pytest

from efdet_jax.inspection.proof import prove
from efdet_jax.structures import Annotations


def annotations(seed, height=75, width=100):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 9))
    corner = rng.uniform(0, 50, (n, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(2, 25, (n, 2))], axis=1)
    return Annotations(
        image_id=f"image {seed}",
        height=height,
        width=width,
        boxes=boxes,
        classes=rng.integers(0, 3, n),
        is_crowd=rng.random(n) < 0.2,
        area=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
    )


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
@pytest.mark.parametrize("size", [(512, 512), (33, 97), (640, 384)])
def test_what_is_read_rightly_scores_one(size, resize):
    truth = [annotations(seed, 75 + seed, 100 - 2 * seed) for seed in range(12)]
    proof = prove(truth, image_size=size, resize=resize, num_classes=4)
    assert proof.ap == 1.0
    assert proof.wrong_classes == ()


def test_points_are_not_held_against_it():
    truth = annotations(3)
    boxes = truth.boxes.copy()
    boxes[0, 2] = boxes[0, 0]
    proof = prove(
        [truth._replace(boxes=boxes)],
        image_size=(64, 64),
        resize="letterbox",
        num_classes=3,
    )
    assert proof.ap == 1.0


def test_boxes_beyond_their_image_do_not_come_back():
    truth = annotations(3)
    boxes = truth.boxes.copy()
    boxes[truth.classes == truth.classes[0]] += 60
    proof = prove(
        [truth._replace(boxes=boxes, is_crowd=np.zeros(len(boxes), bool))],
        image_size=(64, 64),
        resize="letterbox",
        num_classes=3,
    )
    assert proof.ap < 1
    assert truth.classes[0] in proof.wrong_classes


def test_without_objects_there_is_no_score():
    empty = annotations(3)
    empty = empty._replace(
        boxes=np.zeros((0, 4)),
        classes=np.zeros(0, int),
        is_crowd=np.zeros(0, bool),
        area=np.zeros(0),
    )
    proof = prove([empty], image_size=(64, 64), resize="letterbox", num_classes=3)
    assert np.isnan(proof.ap)
    assert proof.wrong_classes == ()
