import numpy as np
import pytest
from oracles.verdicts import verdicts

from efdet_jax.diagnosis.matching import match
from efdet_jax.structures import BACKGROUND, IGNORED

CODES = {"wrong": BACKGROUND, "ignored": IGNORED}


def random_image(rng):
    """Objects on a coarse grid, detections that are some of them, shaken."""
    num_objects, num_found = rng.integers(0, 7), rng.integers(0, 15)
    corners = rng.integers(0, 4, (num_objects, 2)) * 15.0
    boxes = np.concatenate(
        [corners, corners + rng.uniform(15, 40, (num_objects, 2))], 1
    )
    classes = rng.integers(0, 2, num_objects)
    is_crowd = rng.random(num_objects) < 0.25
    # A crowd of a batch has no class.
    classes[is_crowd & (rng.random(num_objects) < 0.5)] = IGNORED
    found = rng.uniform(0, 60, (num_found, 2))
    found = np.concatenate([found, found + rng.uniform(10, 40, (num_found, 2))], 1)
    for row in range(num_found):
        if num_objects and rng.random() < 0.7:
            found[row] = boxes[rng.integers(num_objects)] + rng.normal(0, 4, 4)
            found[row, 2:] = np.maximum(found[row, 2:], found[row, :2] + 1)
    return (
        boxes,
        classes,
        is_crowd,
        found,
        rng.random(num_found),
        rng.integers(0, 2, num_found),
    )


def test_every_detection_is_judged_as_one_at_a_time():
    rng, seen = np.random.default_rng(0), set()
    for _ in range(400):
        image = random_image(rng)
        boxes, classes, is_crowd, found, scores, found_classes = image
        truth = [
            (box, None if class_ == IGNORED else class_, crowd)
            for box, class_, crowd in zip(boxes, classes, is_crowd, strict=True)
        ]
        said = verdicts(truth, list(zip(found, found_classes, scores, strict=True)))
        seen |= {str(each) for each in said}
        expected = [CODES.get(each, each) for each in said]
        np.testing.assert_array_equal(match(*image), expected)
    assert {"0", "3", "wrong", "ignored"} <= seen


def one(boxes, found, scores, classes=None, crowd=None):
    boxes, found = np.array(boxes, float), np.array(found, float)
    none = np.zeros(len(boxes), int)
    return match(
        boxes,
        none if classes is None else np.array(classes),
        none.astype(bool) if crowd is None else np.array(crowd),
        found,
        np.array(scores),
        np.zeros(len(found), int),
    ).tolist()


BOX, ASIDE = [0, 0, 10, 10], [0, 0, 10, 14]


def test_the_better_of_two_has_it_and_the_other_is_wrong():
    assert one([BOX], [BOX, ASIDE], [0.5, 0.9]) == [BACKGROUND, 0]


def test_another_class_and_padding_find_nothing():
    assert one([BOX], [BOX], [0.9], classes=[1]) == [BACKGROUND]
    assert one([BOX], [BOX], [0.9], classes=[BACKGROUND]) == [BACKGROUND]


def test_a_crowd_takes_any_number_but_an_object_comes_first():
    crowd = [0, 0, 100, 100]
    found = [BOX, BOX, [50, 50, 60, 60]]
    owners = one([crowd, BOX], found, [0.9, 0.8, 0.7], crowd=[True, False])
    assert owners == [1, IGNORED, IGNORED]


@pytest.mark.parametrize(("objects", "found"), [(0, 0), (0, 2), (2, 0)])
def test_images_without_objects_or_detections(objects, found):
    assert one(
        np.tile(BOX, (objects, 1)).reshape(-1, 4),
        np.tile(BOX, (found, 1)).reshape(-1, 4),
        np.ones(found),
    ) == ([BACKGROUND] * found)
