import concurrent.futures
import io
import json
import os
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from efdet_jax.data.labels import COCO
from efdet_jax.data.tfds import Tfds, TfdsClasses, _check_features
from efdet_jax.data.whole import check_whole
from efdet_jax.errors import UsageError

BOX = (0.1, 0.2, 0.5, 0.9)
PIXELS = [
    np.random.default_rng(i).integers(0, 255, (20 + i, 30, 3), dtype=np.uint8)
    for i in range(4)
]


THREE = ["cat", "dog", "eel"]


def write(folder, name, *, labels, marks, image_key):
    """Prepares a data set with TFDS itself: image i has i objects, of labels 0..i-1."""
    types = {"is_crowd": np.bool_, "is_difficult": np.bool_, "area": np.int64}
    objects = {
        "bbox": tfds.features.BBoxFeature(),
        "label": tfds.features.ClassLabel(names=labels),
        **{mark: types[mark] for mark in marks},
    }
    text = tfds.features.Text()

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(encoding_format="png"),
                image_key: np.int64 if image_key == "image/id" else text,
                "objects": tfds.features.Sequence(objects),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples() for split in ("train", "test")}

        def _generate_examples(self):
            for i, pixels in enumerate(PIXELS):
                encoded = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
                yield (
                    i,
                    {
                        # Bytes, for TFDS would encode an array with TensorFlow.
                        "image": io.BytesIO(encoded),
                        image_key: 100 + i if image_key == "image/id" else f"{i}.png",
                        "objects": [
                            {"bbox": tfds.features.BBox(*BOX), "label": label}
                            | {m: 7 if m == "area" else label == 1 for m in marks}
                            for label in range(i)
                        ],
                    },
                )

    Tiny.name = name
    Tiny(data_dir=folder, file_format="array_record").download_and_prepare()


def write_classes(folder, name, *, labels):
    """Prepares a data set like imagenet2012: image i is of label i % 3."""

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(names=labels),
                "file_name": tfds.features.Text(),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples() for split in ("train", "test")}

        def _generate_examples(self):
            for i, pixels in enumerate(PIXELS):
                encoded = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
                image = io.BytesIO(encoded)
                yield i, {"image": image, "label": i % 3, "file_name": f"{i}.png"}

    Tiny.name = name
    Tiny(data_dir=folder, file_format="array_record").download_and_prepare()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    like_coco = {"marks": ("is_crowd", "area"), "image_key": "image/id"}
    like_voc = {"marks": ("is_difficult",), "image_key": "image/filename"}
    write(folder, "coco_like", labels=list(COCO.names), **like_coco)
    write(folder, "voc_like", labels=THREE, **like_voc)
    write(folder, "old", labels=THREE, **like_voc)
    write_classes(folder, "imagenet_like", labels=THREE)
    info = folder / "old" / "1.0.0" / "dataset_info.json"  # Really written needs TF.
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    tfds.core.add_data_dir(folder)
    return folder


def by_image_id(source):
    """TFDS shuffles as it writes."""
    rows = [source.annotations(i) for i in range(len(source))]
    order = sorted(range(len(rows)), key=lambda i: rows[i].image_id)
    return [(rows[i], source.image(i)) for i in order]


def test_coco_labels_become_coco_ids(folder):
    source = Tfds("coco_like", "train")
    assert source.labels.num_classes == 80
    assert (source.labels.ids[11], source.labels.names[11]) == (13, "stop sign")
    rows = by_image_id(source)
    assert [row.image_id for row, _ in rows] == [100, 101, 102, 103]
    assert rows[3][0].classes.tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["coco_like", "voc_like"])
def test_images_boxes_and_marks_are_those_written(folder, name):
    source = Tfds(name, "train")
    assert len(source) == 4
    for i, (row, image) in enumerate(by_image_id(source)):
        np.testing.assert_array_equal(image, PIXELS[i])
        height, width = image.shape[:2]
        assert (row.height, row.width) == (height, width)
        pixels = np.array(BOX) * [height, width, height, width]
        np.testing.assert_allclose(row.boxes, np.tile(pixels, (i, 1)), rtol=1e-6)
        assert row.classes.tolist() == list(range(i))
        assert row.is_crowd.tolist() == [label == 1 for label in range(i)]
        area = 7 if name == "coco_like" else 0.4 * height * 0.7 * width
        np.testing.assert_allclose(row.area, [area] * i, rtol=1e-6)


def test_other_labels_get_ids_from_one(folder):
    assert Tfds("voc_like", "train").labels == ((1, 2, 3), ("cat", "dog", "eel"))


def test_a_data_set_without_boxes_is_refused():
    with pytest.raises(UsageError, match=r"no feature 'label' .* choose a detection"):
        _check_features(
            "x",
            tfds.features.FeaturesDict(
                {
                    "image": np.int64,
                    "objects": tfds.features.Sequence({"bbox": np.int64}),
                }
            ),
        )
    with pytest.raises(UsageError, match="no feature 'bbox'"):
        _check_features("x", tfds.features.FeaturesDict({"image": np.int64}))


def test_slices_and_versions_open(folder):
    assert len(Tfds("voc_like:1.0.0", "train[:50%]")) == 2
    assert len(Tfds("voc_like", "train+test")) == 8


def test_a_pickled_source_gives_the_same(folder):
    source = Tfds("coco_like", "train")
    copy = pickle.loads(pickle.dumps(source))
    for i in range(len(source)):
        np.testing.assert_array_equal(source.image(i), copy.image(i))
        for a, b in zip(source.annotations(i), copy.annotations(i), strict=True):
            np.testing.assert_array_equal(a, b)


def test_threads_may_read_at_once(folder):
    source = Tfds("coco_like", "train")
    alone = [source.image(i) for i in range(4)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for i, image in enumerate(pool.map(source.image, [0, 1, 2, 3] * 50)):
            np.testing.assert_array_equal(image, alone[i % 4])


def test_mistakes_are_named_with_the_command_that_helps(folder):
    command = "tfds build {} --file_format=array_record"
    with pytest.raises(UsageError, match=command.format("coco/2017")) as raised:
        Tfds("coco/2017", "train")
    assert "\n" not in str(raised.value)
    with pytest.raises(UsageError, match=command.format("old")):
        Tfds("old", "train")
    with pytest.raises(
        UsageError, match="no split 'val'; those that exist: train, test"
    ):
        Tfds("voc_like", "val")
    with pytest.raises(UsageError, match="no such data set"):
        Tfds("not a name", "train")


def test_reading_does_not_import_tensorflow(folder):
    script = (
        "import sys; from efdet_jax.data.tfds import Tfds;"
        "s = Tfds('coco_like', 'train'); s.image(0); s.annotations(0);"
        "assert 'tensorflow' not in sys.modules"
    )
    environment = {**os.environ, "TFDS_DATA_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def test_classes_of_images_are_those_written(folder):
    source = TfdsClasses("imagenet_like", "train")
    assert source.labels == ((1, 2, 3), tuple(THREE))
    assert len(source) == len(PIXELS)
    check_whole(source, "imagenet_like")
    # TFDS shuffles as it writes; the height tells which is which.
    for i in range(len(source)):
        image, said = source.image(i), source.annotations(i)
        which = said.height - 20
        np.testing.assert_array_equal(image, PIXELS[which])
        assert said.classes.tolist() == [which % 3]
        np.testing.assert_array_equal(said.boxes, [[0, 0, said.height, said.width]])


def test_a_data_set_of_boxes_has_no_class_per_image(folder):
    with pytest.raises(UsageError, match="tfds voc_like: has no image and label"):
        TfdsClasses("voc_like", "train")
    with pytest.raises(UsageError, match="no split 'val'"):
        TfdsClasses("imagenet_like", "val")


@pytest.mark.parametrize("key", ["pythonClassName", "type"])
def test_a_class_that_a_data_set_names_is_not_imported(
    folder, key, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil.py").write_text("import os; os.mkdir('ran')")
    monkeypatch.chdir(tmp_path)
    features = folder / "voc_like" / "1.0.0" / "features.json"
    whole = features.read_text()
    document = json.loads(whole)
    document["featuresDict"]["features"]["image"] = {key: "evil.Feature", "content": {}}
    features.write_text(json.dumps(document))
    try:
        with pytest.raises(UsageError, match=r"class 'evil\.Feature', which opening"):
            Tfds("voc_like", "train")
    finally:
        features.write_text(whole)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", ["", "[" * 10**5, "7", "{}", '{"a": 1}', "\x80"])
def test_descriptions_of_features_that_are_none_are_refused(folder, content):
    features = folder / "voc_like" / "1.0.0" / "features.json"
    whole = features.read_text()
    features.write_text(content)
    try:
        with pytest.raises(UsageError) as caught:
            Tfds("voc_like", "train")
    finally:
        features.write_text(whole)
    assert str(caught.value).isprintable()
