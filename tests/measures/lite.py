"""A really trained EfficientDet-Lite0: what it sees in a photo, and its AP."""

import functools
import runpy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import jax
import numpy as np
from measures.forward import present
from measures.rows import Row

from efdet_jax import assemble, models, score, weights
from efdet_jax.boxes import iou
from efdet_jax.postprocess import postprocess

FILE = "lite0/efficientdet_lite0_int8.tflite"
CAT = 16
CATS = (  # [y0, x0, y1, x1] over the image's size, and the score
    ((0.680802, 0.722127, 0.993808, 0.903262), 0.789063),
    ((0.669208, 0.050258, 0.997905, 0.373004), 0.707031),
    ((0.351021, 0.311397, 0.992716, 0.530004), 0.566406),
    ((0.268180, 0.501367, 0.997425, 0.749800), 0.523438),
)
"""What TensorFlow 2.21's interpreter finds with the int8 file, of scores above 0.2."""
VOC100 = {"AP": 0.525, "AP50": 0.815}
"""What the int8 file scores on 100 images of VOC, its boxes given VOC's names."""


def experiment():
    """The config that a person starts Lite0 with."""
    path = Path(__file__).parents[2] / "experiments/lite0.py"
    return runpy.run_path(str(path))["get_config"]()


def photo(data: Path) -> Iterator[Row]:
    """Four cats, seen by the network dequantised and by the int8 original."""
    path = present(data / FILE)
    pixels = cv2.imread(str(present(data / "photos/cats_and_dogs.jpg")))[:, :, ::-1]
    config = experiment()
    height, width = size = tuple(config.image_size)
    image = models.normalise(
        cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)[None],
        **config.normalise,
    )
    variables = weights.import_weights(path, config)
    assembly = assemble.detector(config, config.model.num_classes)
    outputs = jax.jit(functools.partial(assembly.model.apply, train=False))(
        variables, image
    )
    found = postprocess(
        outputs, assembly.anchors, image_size=size, **config.postprocess
    )
    boxes, scores, classes = (np.asarray(x[0]) for x in found)
    is_sure = scores > 0.2
    theirs, their_scores = (np.array(x, np.float32) for x in zip(*CATS, strict=True))
    overlap = distance = np.inf
    if classes[is_sure].tolist() == [CAT] * len(CATS):
        scale = np.array([height, width, height, width], np.float32)
        overlap = 1 - np.diagonal(iou(boxes[is_sure] / scale, theirs)).min()
        distance = np.abs(scores[is_sure] - their_scores).max()
    against = "the int8 original"
    what = "Lite0, a photo: four cats"
    yield Row(f"{what}, 1 - IoU", against, float(overlap), 1.0, "", 0.1)
    yield Row(f"{what}, scores", against, float(distance), 1.0, "", 0.08)


def voc100(data: Path, *, dtype: str) -> Iterator[Row]:
    """AP on 100 images of VOC, computed in a dtype."""
    config = experiment()
    config.model.dtype = dtype
    config.init_from = str(present(data / FILE))
    config.data.val = f"{present(data / 'voc100')},default"
    config.data.num_threads = 2
    config.eval.batch_size = 10
    config.eval.pictures = 1
    with tempfile.TemporaryDirectory() as folder:
        result = score.score(config, Path(folder))
    for name, expected in VOC100.items():
        difference = abs(result[name] - expected)
        what = f"Lite0, voc100 in {dtype}: {name}"
        yield Row(what, "the int8 original", difference, 1.0, "", 0.02)
