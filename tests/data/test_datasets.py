import json
import logging as python_logging
import subprocess
import sys

import cv2
import numpy as np
import pytest

from efdet_jax.data import datasets
from efdet_jax.data.coco import Coco
from efdet_jax.data.datasets import SOURCES, open_source
from efdet_jax.data.scene_crops import SceneCrops
from efdet_jax.data.shapes import Shapes
from efdet_jax.data.voc import Voc
from efdet_jax.data.yolo import Yolo
from efdet_jax.errors import UsageError

SHAPES = {
    "seed": 0,
    "num_train": 5,
    "num_val": 2,
    "num_classes": 3,
    "imbalance": 1.0,
    "min_objects": 1,
    "max_objects": 2,
    "min_size": 0.2,
    "max_size": 0.5,
    "clutter": 0.0,
    "overlap": 0.0,
}


def open_(spec):
    return open_source(str(spec), image_size=(48, 64), shapes=SHAPES)


def write_coco(path, *images):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [
            {"id": i, "file_name": name, "height": 4, "width": 6}
            for i, name in enumerate(images)
        ],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path.write_text(json.dumps(content))


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((4, 6, 3), np.uint8))


def write_voc(root):
    (root / "Annotations").mkdir(parents=True)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("a")
    (root / "Annotations" / "a.xml").write_text("<annotation/>")
    write_image(root / "JPEGImages" / "a.png")


def write_yolo(root):
    write_image(root / "images" / "a.png")
    (root / "data.yaml").write_text("train: images\nnames: [cat]\n")


def test_yolo_and_flat_voc_folders_are_recognised_and_it_is_said(tmp_path, caplog):
    write_yolo(tmp_path / "yolo")
    write_voc(tmp_path / "voc")
    flat = tmp_path / "flat" / "train"
    write_image(flat / "a.png")
    (flat / "a.xml").write_text("<annotation/>")
    (tmp_path / "voc" / "JPEGImages" / "a.png").rename(tmp_path / "voc" / "a.png")
    python_logging.getLogger("absl").propagate = True
    with caplog.at_level("INFO", logger="efdet_jax"):
        assert isinstance(open_(f"{tmp_path}/yolo,train"), Yolo)
        assert isinstance(open_(f"{tmp_path}/flat,train"), Voc)
        apart = open_(f"voc:{tmp_path}/voc/Annotations,{tmp_path}/voc")
    assert len(apart) == 1
    assert "read as YOLO, 1 images" in caplog.messages[0]
    assert "read as XML files of Pascal VOC, 1 images" in caplog.messages[1]


def test_every_prefix_opens_its_kind_of_source(tmp_path):
    write_coco(tmp_path / "boxes.json", "a.png")
    write_image(tmp_path / "a.png")
    write_voc(tmp_path / "voc")
    write_yolo(tmp_path / "yolo")
    opened = {
        "coco": open_(f"coco:{tmp_path}/boxes.json,{tmp_path}"),
        "voc": open_(f"voc:{tmp_path}/voc,train"),
        "yolo": open_(f"yolo:{tmp_path}/yolo,train"),
        "shapes": open_("shapes:val"),
        "crops": open_("crops:val"),
        "": open_(f"{tmp_path}/voc,train"),
    }
    kinds = {
        "coco": Coco,
        "voc": Voc,
        "yolo": Yolo,
        "shapes": Shapes,
        "crops": SceneCrops,
        "": Voc,
    }
    assert {prefix: type(source) for prefix, source in opened.items()} == kinds
    for prefix in ("tfds", "tfds_classes"):
        with pytest.raises(UsageError, match="tfds build absent_name"):
            open_(f"{prefix}:absent_name:1.0.0,train")
    assert {*opened, "tfds", "tfds_classes"} == set(SOURCES)


def test_shapes_are_drawn_at_the_size_of_the_network_input():
    source = open_("shapes:train")
    assert source.image(0).shape == (48, 64, 3)
    assert (len(source), source.labels.num_classes) == (5, 3)
    assert len(open_("shapes:val")) == 2


LAYOUTS = {
    "COCO": ("annotations/instances_train2017.json", "train2017/a.png", "train2017"),
    "COCO, short": ("annotations/instances_train2017.json", "train2017/a.png", "train"),
    "one image folder": ("annotations/train.json", "images/a.png", "train"),
    "image folders": ("annotations/train.json", "images/train/a.png", "train"),
    "Roboflow": ("train/_annotations.coco.json", "train/a.png", "train"),
    "a lone file": ("train.json", "a.png", "train"),
}


@pytest.mark.parametrize(("file", "image", "split"), LAYOUTS.values(), ids=LAYOUTS)
def test_coco_folders_in_usual_layouts_are_recognised(
    tmp_path, caplog, file, image, split
):
    for other in ("train", "val"):  # The other split has an image of the same name.
        write_coco(tmp_path / file.replace("train", other), "a.png")
        write_image(tmp_path / image.replace("train", other))
    python_logging.getLogger("absl").propagate = True
    with caplog.at_level("INFO", logger="efdet_jax"):
        source = open_(f"{tmp_path},{split}")
    assert isinstance(source, Coco)
    assert source._image_path(0) == tmp_path / image
    (line,) = caplog.messages
    assert str(tmp_path / file) in line
    assert "read as COCO" in line


@pytest.mark.parametrize("below", ["", "VOC2012"])
def test_voc_folders_are_recognised_also_one_level_down(tmp_path, caplog, below):
    write_voc(tmp_path / below)
    python_logging.getLogger("absl").propagate = True
    with caplog.at_level("INFO", logger="efdet_jax"):
        assert isinstance(open_(f"{tmp_path},train"), Voc)
    assert caplog.messages == [f"{tmp_path / below}: read as Pascal VOC, 1 images"]


def test_real_folders_are_recognised(shared):
    data = shared / "data"
    assert len(open_(f"{data}/bccd,val")) == 87
    assert len(open_(f"{data}/coco128,train2017")) == 128
    assert len(open_(f"{data}/voc100,default")) == 100


def test_a_split_never_falls_back_to_a_file_that_is_not_named_so(tmp_path):
    write_coco(tmp_path / "annotations" / "all.json", "a.png")
    write_image(tmp_path / "images" / "a.png")
    assert len(open_(f"{tmp_path},all")) == 1
    with pytest.raises(UsageError, match=r"split 'val' .* annotations/all\.json"):
        open_(f"{tmp_path},val")


def test_an_ambiguous_split_is_refused(tmp_path):
    for year in (2014, 2017):
        write_coco(tmp_path / "annotations" / f"instances_train{year}.json", "a.png")
    with pytest.raises(
        UsageError, match=r"2 COCO files .*train2014\.json, .*train2017"
    ):
        open_(f"{tmp_path},train")


def test_a_folder_name_may_hold_commas_and_colons(tmp_path):
    write_voc(tmp_path / "a:b,c")
    assert len(open_(f"{tmp_path}/a:b,c,train")) == 1
    assert len(open_(f"voc:{tmp_path}/a:b,c,train")) == 1


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (
            "kitti:somewhere",
            "unknown prefix 'kitti'; use coco:, voc:, yolo:, tfds:, tfds_classes:,",
        ),
        ("voc:somewhere", "has not two parts; write voc:FOLDER,SPLIT"),
        ("somewhere", "has not two parts; write FOLDER,SPLIT"),
        ("", "has not two parts"),
        ("somewhere,train", "'somewhere': there is no such folder"),
        ("coco:no.json,somewhere", "no.json: cannot be read"),
        ("shapes:test", "shapes:test.*use one of train, val"),
    ],
)
def test_mistakes_are_named_in_one_line(spec, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=complaint) as raised:
        open_(spec)
    assert "\n" not in str(raised.value)


def test_images_that_are_nowhere_are_named(tmp_path):
    write_coco(tmp_path / "train.json", "a.png")
    with pytest.raises(UsageError, match=r"train\.json: its image 'a\.png' is not in"):
        open_(f"{tmp_path},train")
    (tmp_path / "train.json").write_text("{}")
    with pytest.raises(UsageError, match="names no image"):
        open_(f"{tmp_path},train")


def test_opening_files_loads_neither_tensorflow_nor_tfds():
    script = (
        f"import sys; import {datasets.__name__};"
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
