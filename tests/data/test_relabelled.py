import pickle

import numpy as np
import pytest

from efdet_jax.data.coco import Coco
from efdet_jax.data.labels import COCO, LabelMap, network_labels
from efdet_jax.data.relabelled import relabelled
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations

VOC_TO_COCO = {
    "aeroplane": 5,
    "bicycle": 2,
    "bird": 16,
    "boat": 9,
    "bottle": 44,
    "bus": 6,
    "car": 3,
    "cat": 17,
    "chair": 62,
    "cow": 21,
    "diningtable": 67,
    "dog": 18,
    "horse": 19,
    "motorbike": 4,
    "person": 1,
    "pottedplant": 64,
    "sheep": 20,
    "sofa": 63,
    "train": 7,
    "tvmonitor": 72,
}
"""COCO's own id of each of VOC's classes."""


class Boxes:
    """One image with a box for each of the classes given."""

    flaws = ()

    def __init__(self, labels, classes):
        self.labels = labels
        self._classes = np.array(classes, np.int32)

    def __len__(self):
        return 1

    def image(self, i):
        return np.full((4, 6, 3), 7, np.uint8)

    def annotations(self, i):
        n = len(self._classes)
        boxes = np.arange(4.0 * n).reshape(n, 4)
        crowd = np.arange(n) == 1
        return Annotations("a", 4, 6, boxes, self._classes, crowd, boxes.sum(1))


PETS = LabelMap((1, 2), ("cat", "dog"))
ZOO = LabelMap((3, 5, 8), ("Dog", "eel", "Cat"))


def test_classes_become_the_networks_and_all_else_stays():
    source = Boxes(PETS, [1, 0, 1])
    found = relabelled(source, ZOO)
    assert found.labels == ZOO
    assert len(found) == 1
    ours, theirs = found.annotations(0), source.annotations(0)
    assert ours.classes.tolist() == [0, 2, 0]
    assert ours.classes.dtype == theirs.classes.dtype
    for name in set(Annotations._fields) - {"classes"}:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    np.testing.assert_array_equal(found.image(0), source.image(0))
    assert source.annotations(0).classes.tolist() == [1, 0, 1]


def test_an_image_without_objects_stays_so():
    assert relabelled(Boxes(PETS, []), ZOO).annotations(0).classes.shape == (0,)


def test_a_source_in_the_classes_of_the_network_is_left_as_it_is():
    source = Boxes(PETS, [0])
    assert relabelled(source, LabelMap((1, 2), ("cat", "dog"))) is source


def test_a_class_that_the_network_has_not_is_refused_even_without_objects():
    source = Boxes(LabelMap((1, 4), ("cat", "newt")), [0])
    complaint = r"'newt' \(id 4\) .* network's 3; .*config\.model\.num_classes=0"
    with pytest.raises(UsageError, match=complaint) as raised:
        relabelled(source, ZOO)
    assert "\n" not in str(raised.value)


def test_a_pickled_source_gives_the_same():
    source = relabelled(Boxes(PETS, [1, 0]), ZOO)
    copy = pickle.loads(pickle.dumps(source))
    assert copy.labels == ZOO
    assert copy.annotations(0).classes.tolist() == [0, 2]


def test_all_of_voc_finds_its_class_in_a_head_of_coco(shared):
    folder = shared / "data" / "voc100"
    path = folder / "annotations_coco" / "instances_default.json"
    source = Coco(path, folder / "images")
    assert set(source.labels.names) == set(VOC_TO_COCO)
    found = relabelled(source, network_labels(source.labels, 90))
    seen = set()
    for i in range(len(source)):
        names = [source.labels.names[c] for c in source.annotations(i).classes]
        ids = (found.annotations(i).classes + 1).tolist()
        assert ids == [VOC_TO_COCO[name] for name in names]
        seen |= set(names)
    assert seen == set(VOC_TO_COCO)


@pytest.mark.parametrize("num_classes", [0, 80, 90])
def test_heads_of_coco_number_its_boxes_as_published_or_without_gaps(
    shared, num_classes
):
    folder = shared / "data" / "coco128"
    source = Coco(folder / "instances_train2017_128.json", folder / "train2017")
    found = relabelled(source, network_labels(source.labels, num_classes))
    assert found.labels.num_classes == (num_classes or 80)
    class_of = [id_ - 1 for id_ in COCO.ids] if num_classes == 90 else list(range(80))
    for i in range(len(source)):
        own = source.annotations(i).classes
        assert found.annotations(i).classes.tolist() == [class_of[c] for c in own]
