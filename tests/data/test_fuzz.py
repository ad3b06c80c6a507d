"""Whatever a data set's files hold, a reader opens them or says in a line why not."""

import json
import pathlib
import tempfile

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from efdet_jax.data.coco import Coco
from efdet_jax.data.files import decode_image, image_size
from efdet_jax.data.voc import Voc
from efdet_jax.data.yolo import Yolo
from efdet_jax.errors import UsageError

PNG = cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))[1].tobytes()
JPEG = cv2.imencode(".jpg", np.arange(1800, dtype=np.uint8).reshape(20, 30, 3))[
    1
].tobytes()

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["a.png", "../a.png", "/etc/passwd", 10**400, -1, 1]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
NUMBER = st.integers(-5, 40) | st.floats() | JSON
BOX = st.lists(NUMBER, min_size=4, max_size=4)


def spoiled(fixed, **values):
    """A dictionary of which any key may be missing or hold anything."""
    return st.fixed_dictionaries({}, optional={k: fixed[k] for k in fixed} | values)


COCO = st.fixed_dictionaries(
    {
        "images": st.lists(
            spoiled(
                {
                    "id": st.integers(0, 3) | JSON,
                    "file_name": st.just("a.png") | JSON,
                    "height": NUMBER,
                    "width": NUMBER,
                }
            )
            | st.just({"id": 1, "file_name": "a.png"}),
            max_size=3,
        ),
        "annotations": st.lists(
            spoiled(
                {
                    "id": JSON,
                    "image_id": st.just(1) | JSON,
                    "category_id": st.just(2) | JSON,
                    "bbox": BOX | JSON,
                    "area": NUMBER,
                    "iscrowd": JSON,
                }
            ),
            max_size=4,
        ),
        "categories": st.lists(
            spoiled({"id": st.just(2) | JSON, "name": JSON})
            | st.just({"id": 2, "name": "cat"}),
            max_size=2,
        ),
    }
)

slow_enough = settings(
    max_examples=150,
    deadline=5000,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def use(source):
    """Does with a data set what training does."""
    for i in range(len(source)):
        found = source.annotations(i)
        assert np.isfinite(found.boxes).all()
        assert (found.boxes[:, 2:] >= found.boxes[:, :2]).all()
        assert ((found.classes >= 0) & (found.classes < len(source.labels.ids))).all()
        source.image(i)


def opens_or_says_why(open_):
    try:
        use(open_())
        said = "nothing"
    except UsageError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 2000


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for part in ("Annotations", "ImageSets/Main", "JPEGImages"):
            (root / part).mkdir(parents=True)
        (root / "a.png").write_bytes(PNG)
        (root / "JPEGImages" / "a.png").write_bytes(PNG)
        (root / "ImageSets" / "Main" / "all.txt").write_text("a")
        (root / "data.yaml").write_text("train: JPEGImages\nnames: [cat, dog]\n")
        yield root


@slow_enough
@given(document=COCO | JSON)
def test_coco(folder, document):
    (folder / "boxes.json").write_text(json.dumps(document))
    opens_or_says_why(lambda: Coco(folder / "boxes.json", folder))


@slow_enough
@given(content=st.binary(max_size=200))
def test_coco_of_bytes(folder, content):
    (folder / "boxes.json").write_bytes(content)
    opens_or_says_why(lambda: Coco(folder / "boxes.json", folder))


TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="<&\0\x01"), max_size=9
)
VALUE = st.integers(-3, 50).map(str) | st.floats().map(str) | TEXT
XML_BOX = st.lists(
    st.tuples(st.sampled_from(["xmin", "ymin", "xmax", "ymax", "zmin"]), VALUE),
    max_size=6,
).map(lambda rows: "".join(f"<{key}>{value}</{key}>" for key, value in rows))
XML = st.lists(
    st.tuples(TEXT, XML_BOX).map(
        lambda pair: (
            f"<object><name>{pair[0]}</name><bndbox>{pair[1]}</bndbox></object>"
        )
    )
    | st.just("<object/>")
    | VALUE.map(lambda v: f"<size><width>{v}</width><height>{v}</height></size>"),
    max_size=4,
).map(lambda parts: f"<annotation>{''.join(parts)}</annotation>")


@slow_enough
@given(content=XML.map(str.encode) | st.binary(max_size=200))
def test_voc(folder, content):
    (folder / "Annotations" / "a.xml").write_bytes(content)
    opens_or_says_why(lambda: Voc.of_split(folder, "all"))


@slow_enough
@given(content=st.text(max_size=60).map(str.encode) | st.binary(max_size=60))
def test_voc_of_any_split(folder, content):
    (folder / "Annotations" / "a.xml").write_text("<annotation/>")
    (folder / "ImageSets" / "Main" / "all.txt").write_bytes(content)
    opens_or_says_why(lambda: Voc.of_split(folder, "all"))


LINE = st.lists(
    st.integers(-1, 3).map(str) | st.floats().map(str) | st.text(max_size=5),
    max_size=9,
).map(" ".join)


@slow_enough
@given(content=st.lists(LINE, max_size=4).map("\n".join).map(str.encode) | st.binary())
def test_yolo_labels(folder, content):
    (folder / "JPEGImages" / "a.txt").write_bytes(content)
    opens_or_says_why(lambda: Yolo(folder, "train"))


ENTRY = st.sampled_from(
    ["JPEGImages", "../JPEGImages", "list.txt", "/etc", "../../..", "~", "."]
)


@slow_enough
@given(
    content=st.fixed_dictionaries(
        {},
        optional={
            "path": ENTRY | JSON,
            "train": ENTRY | st.lists(ENTRY) | JSON,
            "names": st.just(["cat"]) | JSON,
            "nc": st.just(1) | JSON,
        },
    ).map(json.dumps)
    | st.text(max_size=60),
    listed=st.lists(ENTRY | st.just("JPEGImages/a.png") | st.text()).map("\n".join),
)
def test_yolo_descriptions(folder, content, listed):
    (folder / "data.yaml").write_bytes(content.encode("utf-8", "replace"))
    (folder / "list.txt").write_bytes(listed.encode("utf-8", "replace"))
    opens_or_says_why(lambda: Yolo(folder, "train"))


@slow_enough
@given(
    whole=st.sampled_from([PNG, JPEG]),
    place=st.integers(0, 2000),
    new=st.binary(max_size=8),
    cut=st.integers(0, 3000),
)
def test_image_files(whole, place, new, cut):
    encoded = (whole[:place] + new + whole[place + len(new) :])[:cut]
    for read in (decode_image, image_size):
        try:
            read(encoded, name="test")
            said = "nothing"
        except UsageError as error:
            said = str(error)
        assert "\n" not in said
