"""The same photographs as COCO, VOC and YOLO are the same data set."""

import numpy as np
import pytest
from oracles.forms import WRITERS, by_title, in_order, pictured_voc100

from efdet_jax.data.datasets import open_source
from efdet_jax.metrics import coco_figures

SHAPES = {"num_train": 1, "num_val": 1}


@pytest.fixture(scope="module")
def voc100(shared):
    return pictured_voc100(shared)


@pytest.fixture(scope="module")
def sources(voc100, tmp_path_factory):
    opened = {}
    for form, write in WRITERS.items():
        spec = write(tmp_path_factory.mktemp(form) / "data", *voc100)
        opened[form] = open_source(spec, image_size=(64, 64), shapes=SHAPES)
    return opened


def test_boxes_are_the_same(sources):
    found = {form: by_title(source) for form, source in sources.items()}
    assert len(found["coco"]) == 100
    for form in ("voc", "yolo"):
        assert found[form].keys() == found["coco"].keys()
        for title, (size, names, boxes) in found["coco"].items():
            assert found[form][title][:2] == (size, names)
            np.testing.assert_allclose(found[form][title][2], boxes, rtol=0, atol=1e-9)


def test_detections_score_the_same(sources):
    figures = {}
    for form, source in sources.items():
        order = np.argsort([source.title(i).split("/")[-1] for i in range(100)])
        truth = [
            source.annotations(int(i))._replace(image_id=n) for n, i in enumerate(order)
        ]
        rows = []
        for n, each in enumerate(truth):
            for rank in np.lexsort((*each.boxes.T.round(3), each.classes)):
                rng = np.random.default_rng([n, *each.boxes[rank].round(3).astype(int)])
                jitter = rng.uniform(-9, 9, 4)
                rows.append(
                    (
                        n,
                        each.boxes[rank] + jitter,
                        rng.random(),
                        source.labels.names[each.classes[rank]],
                    )
                )
        names = sorted(source.labels.names)
        class_of = {name: names.index(name) for name in names}
        remapped = [
            each._replace(
                classes=np.array(
                    [class_of[source.labels.names[c]] for c in each.classes], np.int32
                )
            )
            for each in truth
        ]
        figures[form] = coco_figures(
            remapped,
            image_index=np.array([row[0] for row in rows]),
            boxes=np.array([row[1] for row in rows]),
            scores=np.array([row[2] for row in rows]),
            classes=np.array([class_of[row[3]] for row in rows], np.int32),
            num_classes=len(names),
        ).summary
    assert 0.1 < figures["coco"]["AP"] < 0.95
    assert figures["voc"] == pytest.approx(figures["coco"], nan_ok=True)
    assert figures["yolo"] == pytest.approx(figures["coco"], nan_ok=True)


def test_darknet_names_files_from_the_folder_above(shared, tmp_path, voc100):
    """As CVAT exports them: obj.data says data/train.txt, which lies beside it."""
    folder = shared / "data" / "voc100"
    for path in (folder / "annotations_yolo").iterdir():
        if path.is_file():
            (tmp_path / path.name).symlink_to(path)
    images = tmp_path / "obj_train_data"
    images.mkdir()
    for path in (folder / "annotations_yolo" / "obj_train_data").iterdir():
        (images / path.name).symlink_to(path)
    for path in (folder / "images").iterdir():
        (images / path.name).symlink_to(path)
    source = open_source(f"{tmp_path},train", image_size=(64, 64), shapes=SHAPES)
    found = by_title(source)
    assert len(found) == 100
    for each in voc100[0]:
        size, names, boxes = found[each.path.split("/")[-1]]
        assert size == (each.height, each.width)
        expected = in_order(each.objects)
        assert names == [name for name, _ in expected]
        # It has six digits of a share.
        np.testing.assert_allclose(boxes, [b for _, b in expected], atol=1e-3)
