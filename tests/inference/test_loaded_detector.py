"""A loaded detector finds in images of any size what evaluation finds in them."""

import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tiny
import tiny_run
from measures.lite import CAT, CATS, experiment

import efdet_jax
from efdet_jax import mesh as meshes
from efdet_jax.boxes import iou
from efdet_jax.data.labels import LabelMap
from efdet_jax.data.shapes import Shapes
from efdet_jax.errors import UsageError
from efdet_jax.evaluate import make_evaluator
from efdet_jax.inference.detector import LoadedDetector, detector_of, set_detection
from efdet_jax.inference.loading import open_model
from efdet_jax.results import coco_results
from efdet_jax.structures import Detections


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("loaded") / "run"
    tiny_run.make_run(workdir)
    return workdir


@pytest.fixture(scope="module")
def source():
    """Eleven images of another size than the network's input."""
    return Shapes(
        split="val",
        num_images=11,
        image_size=(96, 130),
        seed=0,
        num_classes=2,
        imbalance=1.0,
        min_objects=1,
        max_objects=3,
        min_size=0.3,
        max_size=0.7,
        clutter=0.0,
        overlap=0.2,
    )


@pytest.mark.slow
def test_it_finds_what_evaluation_finds(workdir, source):
    opened = open_model(str(workdir), config=None, labels=None)
    threshold = opened.config.postprocess.score_threshold
    evaluator = make_evaluator(
        opened.config, opened.assembly, source, meshes.data_mesh()
    )
    expected = evaluator(opened.variables).detections()
    detector = efdet_jax.load(
        str(workdir),
        score_threshold=threshold,
        batch_size=opened.config.eval.batch_size,
    )
    images = [source.image(i) for i in range(len(source))]
    found = list(detector.detect(images))
    assert len(found) == len(images)
    rows = coco_results(
        range(len(images)),
        source.labels.ids,
        image_index=np.repeat(np.arange(len(images)), [len(f.scores) for f in found]),
        boxes=np.concatenate([f.boxes for f in found]),
        scores=np.concatenate([f.scores for f in found]),
        classes=np.concatenate([f.classes for f in found]),
    )
    ids = [source.annotations(i).image_id for i in range(len(source))]
    assert len(rows) == len(expected) > len(images)
    for ours, theirs in zip(rows, expected, strict=True):
        assert ids[ours["image_id"]] == theirs["image_id"]
        assert ours["category_id"] == theirs["category_id"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)
        assert ours["bbox"] == pytest.approx(theirs["bbox"], abs=2e-3)
    assert found[0].names == tuple(tiny_run.LABELS.names[c] for c in found[0].classes)


@pytest.mark.slow
def test_lite0_opens_as_its_experiment_and_finds_the_four_cats_that_tflite_finds(
    shared,
):
    path = shared / "data/lite0/efficientdet_lite0_int8.tflite"
    opened = open_model(str(path), config=None, labels=None)
    assert opened.config.to_dict() == experiment().to_dict()
    set_detection(opened.config, score_threshold=0.2)
    image = cv2.imread(str(shared / "data/photos/cats_and_dogs.jpg"))[:, :, ::-1]
    found = detector_of(opened, batch_size=1)(image)
    boxes, scores = (np.array(x, np.float32) for x in zip(*CATS, strict=True))
    assert found.names == ("cat",) * 4
    assert found.classes.tolist() == [CAT] * 4
    height, width = image.shape[:2]
    scale = np.array([height, width, height, width], np.float32)
    assert np.diagonal(iou(found.boxes / scale, boxes)).min() > 0.9
    np.testing.assert_allclose(found.scores, scores, atol=0.08)


def played(boxes, *, batch_size=1, resize="letterbox", calls=None):
    """A detector of 64 x 64 pixels that finds the same in every image."""

    def infer(images):
        if calls is not None:
            calls.append(images.copy())
        shape = (len(images), len(boxes))
        return Detections(
            np.broadcast_to(np.float32(boxes), (*shape, 4)),
            np.broadcast_to(np.linspace(0.9, 0, len(boxes), dtype=np.float32), shape),
            np.broadcast_to(np.arange(len(boxes)), shape),
        )

    labels = LabelMap((1, 2), ("owl", "fox"))
    grey = (7.0, 8.0, 9.0)
    return LoadedDetector(labels, (64, 64), batch_size, resize, grey, infer)


def image(height, width, value=200):
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize(
    ("size", "resize", "box", "expected"),
    [
        ((200, 100), "letterbox", (0, 0, 64, 32), (0, 0, 200, 100)),
        ((100, 200), "letterbox", (8, 16, 24, 48), (25, 50, 75, 150)),
        ((32, 16), "letterbox", (8, 16, 24, 32), (4, 8, 12, 16)),
        ((200, 100), "stretch", (16, 32, 48, 64), (50, 50, 150, 100)),
        # What reaches beyond the image is cut.
        ((100, 200), "letterbox", (-9, -9, 64, 99), (0, 0, 100, 200)),
    ],
)
def test_boxes_are_in_pixels_of_the_image(size, resize, box, expected):
    found = played([box, box], resize=resize)(image(*size))
    np.testing.assert_allclose(found.boxes, [expected], rtol=1e-5)
    assert found.boxes.dtype == np.float32
    # The second has score 0: it is a row that only fills.
    assert (found.scores.shape, found.classes.tolist()) == ((1,), [0])
    assert found.names == ("owl",)


def test_what_surrounds_an_image_has_the_colour_that_was_trained_with():
    calls = []
    played([(0, 0, 9, 9)], calls=calls)(image(100, 200))
    (seen,) = calls[0]
    assert (seen[:32] == 200).all()
    assert (seen[32:] == [7, 8, 9]).all()


def test_batches_have_one_size_and_results_the_order_of_the_images():
    calls = []
    detector = played([(0, 0, 64, 64), (0, 0, 1, 1)], batch_size=2, calls=calls)
    sizes = [(10, 20), (30, 15), (40, 40), (7, 9), (64, 64)]
    found = list(detector.detect(image(*size) for size in sizes))
    assert [call.shape for call in calls] == [(2, 64, 64, 3)] * 3
    corners = [each.boxes[0, 2:] for each in found]
    np.testing.assert_allclose(corners, sizes, rtol=1e-6)


def test_no_more_than_two_batches_are_read_ahead():
    read = []

    def images():
        for index in range(10):
            read.append(index)
            yield image(8, 8)

    stream = played([(0, 0, 9, 9)], batch_size=2).detect(images())
    next(stream)
    assert len(read) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused(wrong):
    with pytest.raises(UsageError, match="give uint8 of shape"):
        played([(0, 0, 9, 9)])(wrong)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"score_threshold": 1.5}, r"score_threshold=1\.5 is out of range"),
        ({"method": "greedy"}, "method=greedy is not known"),
        ({"max_detections": 0}, "max_detections=0 is out of range"),
        ({"nms": "hard"}, "nms=hard is no setting .*max_detections"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        set_detection(tiny.get_config(), **setting)


def test_importing_the_package_loads_neither_jax_nor_numpy():
    code = "import sys, efdet_jax; print({'jax', 'numpy', 'cv2'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


def test_the_package_has_no_other_names():
    with pytest.raises(AttributeError, match="laod"):
        efdet_jax.laod("run")
