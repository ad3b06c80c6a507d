"""Every image counts once, whatever the batch; the network is played by the truth."""

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from efdet_jax import mesh as meshes
from efdet_jax.data.pipeline import eval_batches
from efdet_jax.data.shapes import Shapes
from efdet_jax.data.transforms import RESIZES
from efdet_jax.evaluate import Prediction, evaluate, make_predict_step
from efdet_jax.models.detector import Detector, create
from efdet_jax.structures import Detections, Outputs

INPUT = (64, 64)
MAX_BOXES = 6


def shapes(image_size):
    return Shapes(
        split="val",
        num_images=21,
        image_size=image_size,
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


@pytest.fixture(scope="module")
def source():
    """21 images half as large again as the network's input."""
    return shapes((96, 96))


def batches(source, batch_size, resize="letterbox"):
    return eval_batches(
        source,
        image_size=INPUT,
        batch_size=batch_size,
        resize=resize,
        pad_colour=(127.0, 127.0, 127.0),
        max_boxes=MAX_BOXES,
        num_threads=1,
        num_workers=0,
        shard=(0, 1),
        patience=60.0,
    )


def truth(variables, batch):
    """Finds exactly what is there, the last images with less confidence."""
    is_object = np.asarray(batch.classes) >= 0
    confidence = 1 / (2 + np.asarray(batch.image_index, np.float32))
    scores = np.where(is_object, confidence[:, None], 0).astype(np.float32)
    found = Detections(batch.boxes, scores, np.maximum(batch.classes, 0))
    return Prediction(found, batch.image_index, batch.scale)


def score(source, given, *, predict=truth, num_pictures=0):
    mesh = meshes.make_mesh(1)
    return evaluate(predict, {}, source, given, mesh, num_pictures=num_pictures)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 21, 32])
def test_perfect_detections_score_1_whatever_the_batch(source, batch_size):
    metrics = score(source, batches(source, batch_size)).metrics
    assert metrics["AP"] == pytest.approx(1)
    assert metrics["AP75"] == pytest.approx(1)


@pytest.mark.parametrize("resize", RESIZES)
def test_perfect_detections_score_1_however_images_are_resized(resize):
    source = shapes((96, 130))
    metrics = score(source, batches(source, 8, resize)).metrics
    assert metrics["AP"] == pytest.approx(1)


class Colours(Detector):
    """One anchor whose logits are the mean colours of what the network is given."""

    def __call__(self, image, *, train):
        assert not train
        logits = image.mean(axis=(1, 2))[:, None]
        return Outputs(logits, jnp.zeros((len(image), 1, 4)))


def test_the_network_is_given_images_normalised_as_told(source):
    section = tiny.get_config().model
    section.num_classes = 3
    model = create(section)
    step = make_predict_step(
        Colours(**{name: getattr(model, name) for name in Detector.__annotations__}),
        np.array([[0, 0, 32, 32]], np.float32),
        meshes.make_mesh(1),
        image_size=INPUT,
        normalisation={"mean": (10.0, 20.0, 30.0), "stddev": (50.0, 100.0, 200.0)},
        **tiny.get_config().postprocess.to_dict(),
    )
    batch = next(iter(batches(source, 8)))
    prediction = step({}, batch)
    colours = batch.image.mean(axis=(1, 2))
    logits = (colours - [10, 20, 30]) / [50, 100, 200]
    expected = np.sort(1 / (1 + np.exp(-logits)), axis=1)[:, ::-1]
    np.testing.assert_allclose(prediction.detections.scores[:, :3], expected, rtol=1e-5)
    np.testing.assert_array_equal(prediction.scale, batch.scale)


def test_detections_of_one_image_in_three_are_worth_a_third_of_the_objects(source):
    def lazy(variables, batch):
        prediction = truth(variables, batch)
        awake = (np.asarray(batch.image_index) % 3 == 0)[:, None]
        scores = np.where(awake, prediction.detections.scores, 0).astype(np.float32)
        found = prediction.detections._replace(scores=scores)
        return prediction._replace(detections=found)

    annotations = [source.annotations(i) for i in range(len(source))]
    recalls = []
    for class_ in range(2):
        count = np.array([(a.classes == class_).sum() for a in annotations])
        recalls.append(count[::3].sum() / count.sum())
    metrics = score(source, batches(source, 4), predict=lazy).metrics
    assert metrics["AR100"] == pytest.approx(np.mean(recalls))


def test_detections_are_cut_at_the_borders_of_the_image(source):
    def wide(variables, batch):
        """Boxes that touch a border reach far beyond it."""
        prediction = truth(variables, batch)
        boxes = np.array(prediction.detections.boxes)
        annotated = boxes.copy()
        boxes[..., 2:] = np.where(annotated[..., 2:] >= 63.9, 500, annotated[..., 2:])
        boxes[..., :2] = np.where(annotated[..., :2] <= 0.1, -500, annotated[..., :2])
        found = prediction.detections._replace(boxes=boxes)
        return prediction._replace(detections=found)

    assert score(source, batches(source, 8), predict=wide).metrics["AP"] > 0.99


@pytest.mark.parametrize("order", [[0, 1, 1, 2], [0, 2]])
def test_an_image_seen_twice_or_never_is_an_error(source, order):
    given = list(batches(source, 7))
    with pytest.raises(RuntimeError, match="exactly once"):
        score(source, [given[i] for i in order])


def test_a_network_that_finds_nothing_scores_0(source):
    def blind(variables, batch):
        prediction = truth(variables, batch)
        none = np.zeros_like(prediction.detections.scores)
        return prediction._replace(
            detections=prediction.detections._replace(scores=none)
        )

    metrics = score(source, batches(source, 8), predict=blind).metrics
    assert metrics["AP"] == 0


@pytest.mark.parametrize(("asked", "got"), [(0, 0), (3, 3), (10, 10), (50, 21)])
def test_as_many_pictures_are_drawn_as_asked_for(source, asked, got):
    pictures = score(source, batches(source, 4), num_pictures=asked).pictures
    assert len(pictures) == got
    # Truth and detections side by side, enlarged from the 64 pixels of the input.
    assert all(picture.shape == (384, 768, 3) for picture in pictures)


def test_boxes_beyond_all_bounds_are_drawn_too(source):
    def wild(variables, batch):
        prediction = truth(variables, batch)
        boxes = np.full_like(prediction.detections.boxes, np.inf)
        boxes[..., :2] = -np.inf
        scores = np.ones_like(prediction.detections.scores)
        found = prediction.detections._replace(boxes=boxes, scores=scores)
        return prediction._replace(detections=found)

    given = batches(source, 8)
    assert len(score(source, given, predict=wild, num_pictures=2).pictures) == 2


def test_pictures_show_the_first_images_in_order(source):
    first = next(iter(batches(source, 4)))
    (picture,) = score(source, batches(source, 4), num_pictures=1).pictures
    # Far more of the picture is the image itself than boxes and labels.
    image = np.asarray(first.image[0]).repeat(6, 0).repeat(6, 1)
    assert (picture[:, :384] == image).all(-1).mean() > 0.5
