import pickle

import numpy as np
import pytest

from efdet_jax.config import shapes_section
from efdet_jax.data.datasets import open_source
from efdet_jax.data.labels import contiguous
from efdet_jax.data.scene_crops import MARGIN, SceneCrops
from efdet_jax.data.whole import check_whole
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations


class Scene:
    """One grey image with boxes, the last of which is on top."""

    labels = contiguous({1: "cat", 2: "dog"})
    flaws = ()

    def __init__(self, boxes):
        self.boxes = np.array(boxes, np.float64).reshape(-1, 4)

    def __len__(self):
        return 1

    def image(self, i):
        rows, columns = np.mgrid[:60, :80]
        return np.stack([rows, columns, rows], axis=2).astype(np.uint8)

    def annotations(self, i):
        count = len(self.boxes)
        return Annotations(
            image_id=i,
            height=60,
            width=80,
            boxes=self.boxes,
            classes=np.arange(count, dtype=np.int32) % 2,
            is_crowd=np.zeros(count, bool),
            area=np.ones(count),
        )


def test_a_crop_is_a_square_around_the_topmost_object():
    source = SceneCrops(Scene([[0, 0, 9, 9], [20, 30, 36, 40]]))
    image = source.image(0)
    assert image.shape == (16 * MARGIN, 16 * MARGIN, 3)
    # Its middle is the box's.
    np.testing.assert_array_equal(image[0, 0, :2], [18, 25])
    assert source.annotations(0).classes.tolist() == [1]


@pytest.mark.parametrize(
    ("box", "corner", "side"),
    [
        ([0, 0, 16, 8], (0, 0), 20),
        ([44, 70, 60, 80], (40, 60), 20),
        ([0, 0, 60, 80], (0, 10), 60),
    ],
)
def test_a_crop_stays_within_its_scene(box, corner, side):
    image = SceneCrops(Scene([box])).image(0)
    assert image.shape == (side, side, 3)
    assert tuple(image[0, 0, :2]) == corner


def drawn(split="val", **changes):
    shapes = shapes_section().to_dict() | {"num_val": 20, "num_classes": 5} | changes
    return open_source(f"crops:{split}", image_size=(32, 32), shapes=shapes)


def test_drawn_crops_are_a_source_of_whole_images():
    source = drawn()
    assert len(source) == 20
    assert source.labels.num_classes == 5
    for i in range(20):
        image, said = source.image(i), source.annotations(i)
        assert image.shape == (said.height, said.width, 3)
        np.testing.assert_array_equal(said.boxes, [[0, 0, said.height, said.width]])
        assert 0 <= said.classes[0] < 5
    check_whole(source, "crops:val")


def test_the_seed_decides_every_crop_and_copies_agree():
    source, copy = drawn(), pickle.loads(pickle.dumps(drawn()))
    other = drawn(seed=1)
    np.testing.assert_array_equal(source.image(3), copy.image(3))
    assert not np.array_equal(source.image(3), other.image(3))


def test_an_empty_scene_is_refused_in_one_line():
    source = SceneCrops(Scene([]))
    with pytest.raises(UsageError, match=r"no object to show.*min_objects") as raised:
        source.annotations(0)
    assert "\n" not in str(raised.value)


def test_a_data_set_of_objects_is_no_data_set_of_classes():
    with pytest.raises(UsageError, match=r"NAME has 1 boxes .* crops:SPLIT"):
        check_whole(Scene([[1, 1, 9, 9]]), "NAME")
