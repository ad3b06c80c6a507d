import pickle

import cv2
import numpy as np
import pytest

from efdet_jax.data.yolo import Yolo
from efdet_jax.errors import UsageError

YAML = "train: images/train\nval: images/val\nnames: [cat, dog]\nnc: 2\n"


@pytest.fixture
def folder(tmp_path):
    """A folder as Ultralytics has it: "a" and "b" in train, "c" in val."""
    for part in ("images/train", "images/val", "labels/train", "labels/val"):
        (tmp_path / part).mkdir(parents=True)
    pixels = np.zeros((20, 40, 3), np.uint8)
    for name in ("train/a", "train/b", "val/c"):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), pixels)
    (tmp_path / "labels" / "train" / "a.txt").write_text("1 0.5 0.5 0.25 0.5\n\n")
    (tmp_path / "labels" / "val" / "c.txt").write_text("0 0.5 0.5 1 1")
    (tmp_path / "data.yaml").write_text(YAML)
    return tmp_path


def write(folder, text):
    (folder / "labels" / "train" / "a.txt").write_text(text)


def test_a_line_is_class_centre_and_size_in_shares(folder):
    source = Yolo(folder, "train")
    found = source.annotations(0)
    assert (found.height, found.width) == (20, 40)
    assert found.boxes.tolist() == [[5, 15, 15, 25]]
    assert found.classes.tolist() == [1]
    assert found.area.tolist() == [100]
    assert not found.is_crowd.any()
    assert source.labels == ((0, 1), ("cat", "dog"))
    assert source.image(0).shape == (20, 40, 3)


def test_an_image_without_a_file_has_no_objects_and_ids_are_paths(folder):
    source = Yolo(folder, "train")
    assert [source.annotations(i).image_id for i in range(2)] == [
        "images/train/a.png",
        "images/train/b.png",
    ]
    assert source.annotations(1).boxes.shape == (0, 4)


def test_an_outline_is_the_box_around_it(folder):
    write(folder, "0 0.25 0.5 0.75 0.5 0.5 0.75")
    found = Yolo(folder, "train").annotations(0)
    assert found.boxes.tolist() == [[10, 10, 15, 30]]


def test_labels_may_lie_beside_the_images(folder):
    (folder / "labels" / "train" / "a.txt").rename(folder / "images/train/a.txt")
    (folder / "labels" / "train").rmdir()
    (folder / "labels" / "val" / "c.txt").unlink()
    (folder / "labels" / "val").rmdir()
    (folder / "labels").rmdir()
    assert len(Yolo(folder, "train").annotations(0).boxes) == 1


@pytest.mark.parametrize(
    "yaml",
    [
        "train: ../images/train\nnames: [cat, dog]\n",  # Roboflow
        "path: /content/coco\ntrain: images/train\nnames: {0: cat, 1: dog}\n",
        "path: images\ntrain: train\nnames: [cat, dog]\n",
        "train: [images/train]\nnames: [cat, dog]\n",
        "train: list.txt\nnames: [cat, dog]\n",
    ],
)
def test_the_ways_in_which_folders_are_named(folder, yaml):
    (folder / "data.yaml").write_text(yaml)
    (folder / "list.txt").write_text("./images/train/a.png\nimages/train/b.png\n")
    source = Yolo(folder / "data.yaml", "train")
    assert len(source) == 2
    assert source.annotations(0).classes.tolist() == [1]


def test_a_box_of_no_size_is_left_out_and_told(folder):
    write(folder, "0 0.5 0.5 0.2 0.2\n0 nan 0.5 0.2 0.2\n1 0.5 0.5 -0.2 0.2\n")
    source = Yolo(folder, "train")
    assert len(source.annotations(0).boxes) == 1
    first, second = source.flaws
    assert first.place.endswith("a.txt, line 2")
    assert second.place.endswith("a.txt, line 3")
    assert first.mended == "left out"


def test_a_pickled_source_gives_the_same(folder):
    source = Yolo(folder, "train")
    copy = pickle.loads(pickle.dumps(source))
    for a, b in zip(source.annotations(0), copy.annotations(0), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0 0.5 0.5 0.2", "line 1: has 4 columns"),
        ("0 0.5 0.5 0.2 0.2 0.9", "line 1: has 6 columns"),
        ("\n0 0.5 0.5 0.2 x", "line 2: is no line of numbers .*'x'"),
        ("2 0.5 0.5 0.2 0.2", "line 1: is of class 2, but there are 2 names"),
        ("-1 0.5 0.5 0.2 0.2", "class -1"),
        ("0.5 0.5 0.5 0.2 0.2", "class '0.5'"),
        ("inf 0.5 0.5 0.2 0.2", "class 'inf'"),
        ("0 100 50 20 20", "has 100 where a share"),
    ],
)
def test_lines_that_are_no_objects_are_named(folder, text, complaint):
    write(folder, text)
    with pytest.raises(UsageError, match=complaint) as raised:
        Yolo(folder, "train")
    assert "a.txt" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("yaml", "complaint"),
    [
        ("train: /etc\nnames: [a]", "'/etc' leads out of the folder"),
        ("train: ../../etc\nnames: [a]", "leads out of the folder"),
        ("train: absent\nnames: [a]", "neither a folder of images nor a .txt list"),
        ("train: images/train\nnames: [a]\nnc: 2", "nc is 2 but there are 1 names"),
        ("train: images/train", "no names of the classes"),
        ("train: images/train\nnames: {1: a}", "no names of the classes"),
        ("val: images/val\nnames: [a]", "no split 'train'; those that exist: val"),
        ("[", "is no YAML"),
        ("7", "no names of the classes"),
    ],
)
def test_descriptions_that_cannot_be_used_are_named(folder, yaml, complaint):
    (folder / "data.yaml").write_text(yaml)
    with pytest.raises(UsageError, match=complaint) as raised:
        Yolo(folder, "train")
    assert "\n" not in str(raised.value)


def test_a_list_may_not_name_files_elsewhere(folder):
    (folder / "data.yaml").write_text("train: list.txt\nnames: [cat, dog]\n")
    for line in ("/etc/passwd", "images/../../../etc/passwd", "C:\\a.png"):
        (folder / "list.txt").write_text(line)
        with pytest.raises(UsageError, match="leads out of the folder"):
            Yolo(folder, "train")


def test_what_is_no_yolo_folder_is_named(folder, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        Yolo(tmp_path / "absent", "train")
    (folder / "other.yaml").write_text(YAML)
    with pytest.raises(UsageError, match=r"data\.yaml, other\.yaml"):
        Yolo(folder, "train")
    (folder / "other.yaml").unlink()
    (folder / "data.yaml").unlink()
    with pytest.raises(UsageError, match="there are: none"):
        Yolo(folder, "train")
