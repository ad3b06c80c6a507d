import json
import pickle

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from efdet_jax.data.coco import Coco
from efdet_jax.errors import UsageError

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]


def image(id_, name="a.png", **more):
    return {"id": id_, "file_name": name, "height": 20, "width": 30, **more}


def box(image_id, category_id=3, bbox=(1, 2, 3, 4), **more):
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, **more}


@pytest.fixture
def opened(tmp_path):
    """Writes a COCO file beside one image and opens it."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 30, 3), np.uint8))

    def write_and_open(images, annotations, **document):
        path = tmp_path / "boxes.json"
        content = {
            "images": images,
            "annotations": annotations,
            "categories": CATEGORIES,
            **document,
        }
        path.write_text(json.dumps(content))
        return Coco(path, tmp_path)

    return write_and_open


def test_every_box_of_coco128_is_what_pycocotools_reads(shared):
    folder = shared / "data" / "coco128"
    source = Coco(folder / "instances_train2017_128.json", folder / "train2017")
    oracle = COCO(str(folder / "instances_train2017_128.json"))
    assert len(source) == len(oracle.imgs) == 128
    seen = 0
    for i in range(len(source)):
        found = source.annotations(i)
        truth = oracle.loadAnns(oracle.getAnnIds(imgIds=[found.image_id]))
        xywh = np.array([a["bbox"] for a in truth], float).reshape(-1, 4)
        y0x0, size = xywh[:, 1::-1], xywh[:, :1:-1]
        np.testing.assert_array_equal(found.boxes, np.hstack([y0x0, y0x0 + size]))
        ids = [source.labels.ids[class_] for class_ in found.classes]
        assert ids == [a["category_id"] for a in truth]
        assert found.is_crowd.tolist() == [bool(a["iscrowd"]) for a in truth]
        assert found.area.tolist() == [a["area"] for a in truth]
        assert source.image(i).shape == (found.height, found.width, 3)
        seen += len(truth)
    assert seen == len(oracle.anns)


def test_classes_are_numbered_without_gaps(opened):
    source = opened([image(1)], [box(1, 7), box(1, 3)])
    assert source.labels == ((3, 7), ("cat", "dog"))
    assert source.annotations(0).classes.tolist() == [1, 0]


def test_boxes_stay_with_their_image_in_any_order_and_images_may_have_none(opened):
    images = [image(5), image("b"), image(2)]
    rows = [box(2, bbox=[i, 0, 1, 1]) for i in (1, 2)] + [box(5, bbox=[9, 0, 1, 1])]
    source = opened(images, rows[::2] + rows[1::2])
    x0 = [source.annotations(i).boxes[:, 1].tolist() for i in range(3)]
    assert x0 == [[9], [], [1, 2]]
    assert [source.annotations(i).image_id for i in range(3)] == [5, "b", 2]


def test_a_file_without_boxes_opens(opened):
    found = opened([image(1)], []).annotations(0)
    assert found.boxes.shape == (0, 4)


def test_absent_area_is_that_of_the_box_and_absent_iscrowd_is_false(opened):
    source = opened([image(1)], [box(1, area=5), box(1, iscrowd=1), box(1, area=None)])
    assert source.annotations(0).area.tolist() == [5, 12, 12]
    assert source.annotations(0).is_crowd.tolist() == [False, True, False]


def test_absent_size_is_read_from_the_image(opened):
    found = opened([{"id": 1, "file_name": "a.png"}], []).annotations(0)
    assert (found.height, found.width) == (20, 30)


def test_a_folder_in_file_name_may_be_gone(opened):
    assert opened([image(1, "train/x/a.png")], []).image(0).shape == (20, 30, 3)


def test_a_pickled_source_gives_the_same(opened):
    source = opened([image(1)], [box(1)])
    copy = pickle.loads(pickle.dumps(source))
    for a, b in zip(source.annotations(0), copy.annotations(0), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("images", "annotations", "document", "complaint"),
    [
        ([image(1)], [box(4)], {}, "image id 4"),
        ([image(1)], [box(1, 99)], {}, "category id 99"),
        ([image(1), image(1)], [], {}, "image id 1 occurs twice"),
        ([image(1)], [box(1, bbox=[1, 2])], {}, r"has no bbox .* \[1, 2\]"),
        ([image(1)], [{"image_id": 1}], {}, "number 0 has no 'category_id'"),
        ([image(1)], [{"id": 8, "category_id": 3}], {}, "id 8 has no 'image_id'"),
        ([image(1)], [box(1, [3])], {}, r"category id \[3\]"),
        ([image([1])], [], {}, r"image id \[1\] is neither"),
        ([image(1)], [7], {}, "entry 0 of 'annotations' is 7"),
        ([image(1, "/etc/passwd")], [], {}, "image id 1: '/etc/passwd' leads out"),
        ([image(1, "../a.png")], [], {}, "leads out of the folder"),
        ([image(1, "b/../../a.png")], [], {}, "leads out of the folder"),
        ([image(1, "C:\\a.png")], [], {}, "leads out of the folder"),
        ([image(1, 5)], [], {}, "5 is no file name"),
        ([image(1, "a\0.png")], [], {}, "is no file name"),
        ([], [], {"categories": [CATEGORIES[0]] * 2}, "category id 7 occurs twice"),
        ([], [], {"categories": [{"id": 1}]}, "category id 1 has no 'name'"),
        ([image(1)], [], {"categories": None}, "no list 'categories'"),
        ([image(1, "absent.png")], [], {}, "absent.png"),
    ],
)
def test_mistakes_are_named(opened, images, annotations, document, complaint):
    with pytest.raises(UsageError, match=complaint) as raised:
        opened(images, annotations, **document)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "bbox", [[1, 2, -3, 4], [1, 2, 3, float("nan")], [None, 2, 3, 4], ["1", 2, 3, 4]]
)
def test_a_box_that_is_none_is_left_out_and_told(opened, bbox):
    source = opened([image(1)], [box(1, bbox=bbox, id=5), box(1, id=6)])
    assert source.annotations(0).boxes.tolist() == [[2, 1, 6, 4]]
    (flaw,) = source.flaws
    assert "annotation id 5" in flaw.place
    assert "\n" not in str(flaw)


def test_folders_are_found_whatever_the_separator(opened):
    assert opened([image(1, "sub\\a.png")], []).image(0).shape == (20, 30, 3)


def test_ids_that_a_tool_wrote_as_floats_are_whole_numbers(opened):
    source = opened([image(1.0)], [box(1, 7.0)])
    assert source.annotations(0).image_id == 1
    assert source.annotations(0).classes.tolist() == [1]


def test_broken_or_missing_json_is_named(tmp_path):
    (tmp_path / "cut.json").write_text('{"images": [')
    with pytest.raises(UsageError, match=r"cut.json: is not JSON"):
        Coco(tmp_path / "cut.json", tmp_path)
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(UsageError, match=r"deep.json: is not JSON"):
        Coco(tmp_path / "deep.json", tmp_path)
    with pytest.raises(UsageError, match=r"no.json: cannot be read"):
        Coco(tmp_path / "no.json", tmp_path)
