"""A folder with one of everything that may be wrong, found and named."""

import struct

import cv2
import numpy as np
import pytest

from efdet_jax.data.coco import Coco
from efdet_jax.inspection.findings import LOOK, MEND, NOTE, find
from efdet_jax.inspection.survey import survey

SIZE = (40, 60)


def pixels(seed):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, SIZE[::-1])


def with_orientation(jpeg, value):
    entry = struct.pack("<HHII", 0x0112, 3, 1, value)
    segment = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + b"\0\0\0\0"
    length = struct.pack(">H", len(segment) + 2)
    return jpeg[:2] + b"\xff\xe1" + length + segment + jpeg[2:]


@pytest.fixture
def found(tmp_path):
    """{(gravity, first words): places} of a folder of images, each strange."""
    import json

    jpeg = {i: cv2.imencode(".jpg", pixels(i))[1].tobytes() for i in range(4)}
    deep = np.full((*SIZE, 3), 300, np.uint16)
    cmyk = pytest.importorskip("PIL.Image").new("CMYK", SIZE[::-1], (10, 200, 90, 5))
    cmyk.save(tmp_path / "cmyk.jpg")
    files = {
        "fine.jpg": jpeg[0],
        "twin.jpg": jpeg[0],
        "cut.jpg": jpeg[1][:-200],
        "text.jpg": b"not an image",
        "turned.jpg": with_orientation(jpeg[2], 6),
        "size.jpg": jpeg[3],
        "grey.png": cv2.imencode(".png", pixels(5)[..., 0])[1].tobytes(),
        "alpha.png": cv2.imencode(".png", np.zeros((*SIZE, 4), np.uint8))[1].tobytes(),
        "deep.png": cv2.imencode(".png", deep)[1].tobytes(),
        "boxes.png": cv2.imencode(".png", pixels(6))[1].tobytes(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    names = [*files, "cmyk.jpg"]
    images = [
        {"id": i, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for i, name in enumerate(names)
    ]
    images[names.index("size.jpg")]["height"] = 41
    boxes = [
        [1, 1, 20, 20],
        [70, 1, 20, 20],  # outside
        [50, 1, 20, 20],  # beyond
        [5, 5, 0, 9],  # tiny
        [1, 1, 20, 20],  # twice
        [1, 1, -20, 20],  # none
    ]
    rows = [
        {
            "id": 10 + i,
            "image_id": names.index("boxes.png"),
            "category_id": 1,
            "bbox": b,
        }
        for i, b in enumerate(boxes)
    ]
    rows.append(
        {
            "id": 30,
            "image_id": 0,
            "category_id": 1,
            "bbox": [2, 2, 30, 30],
            "iscrowd": 1,
        }
    )
    document = {
        "images": images,
        "annotations": rows,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    source = Coco(tmp_path / "boxes.json", tmp_path)
    records = survey(source, range(len(source)), num_threads=3)
    findings = find(records, source.flaws, source.labels, max_boxes=3, complete=True)
    order = [finding.gravity for finding in findings]
    assert order == sorted(order, key=[MEND, LOOK, NOTE].index)
    return {(f.gravity, f.what): f.places for f in findings}


def places(found, gravity, words):
    (what,) = [what for g, what in found if g == gravity and words in what]
    return [place.rpartition("/")[2] for place in found[gravity, what]]


def test_each_strange_thing_is_named(found):
    assert ["annotation id 15" in p for p in places(found, MEND, "that are none")] == [
        True
    ]
    broken = places(found, MEND, "broken")
    assert [place.split(":")[0] for place in broken] == [
        "cut.jpg",
        "text.jpg",
        "size.jpg",
    ]
    assert places(found, MEND, "outside") == [
        "boxes.png: x 70.0 to 90.0, y 1.0 to 21.0"
    ]
    assert places(found, LOOK, "out of their image") == [
        "boxes.png: x 50.0 to 70.0, y 1.0 to 21.0"
    ]
    assert places(found, LOOK, "at most 1 pixel") == [
        "boxes.png: x 5.0 to 5.0, y 5.0 to 14.0"
    ]
    assert places(found, LOOK, "there twice") == [
        "boxes.png: x 1.0 to 21.0, y 1.0 to 21.0"
    ]
    assert places(found, LOOK, "EXIF") == ["turned.jpg"]
    (same,) = places(found, LOOK, "more than once")
    assert same == "twin.jpg"
    assert places(found, LOOK, "classes without") == ["dog"]
    assert places(found, LOOK, "max_boxes=3") == ["boxes.png: 5 boxes"]
    assert places(found, NOTE, "in grey") == ["grey.png"]
    assert places(found, NOTE, "with alpha") == ["alpha.png"]
    assert places(found, NOTE, "16-bit colour") == ["deep.png"]
    assert places(found, NOTE, "CMYK") == ["cmyk.jpg"]
    assert places(found, NOTE, "crowd") == ["fine.jpg: x 2.0 to 32.0, y 2.0 to 32.0"]
    assert len(places(found, NOTE, "without boxes")) == len(
        [*["twin", "cut", "text", "turned", "size", "grey", "alpha", "deep", "cmyk"]]
    )
    assert len(found) == 16
