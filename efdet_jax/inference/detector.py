"""A detector that takes a person's images and gives boxes in their pixels."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float, Int, UInt8
from ml_collections import ConfigDict

from efdet_jax import evaluate
from efdet_jax import mesh as meshes
from efdet_jax.assemble import pad_colour
from efdet_jax.data import transforms
from efdet_jax.data.labels import LabelMap
from efdet_jax.data.transforms import Colour
from efdet_jax.errors import UsageError
from efdet_jax.exporting.bundle import is_bundle, read_bundle
from efdet_jax.inference.loading import OpenedModel, open_model
from efdet_jax.pictures import SHOWN_SCORE
from efdet_jax.predicting import compiled
from efdet_jax.structures import Detections, Tree
from efdet_jax.validation import validate

Infer = Callable[[UInt8[np.ndarray, "b h w 3"]], Detections]
"""Images as the network's input → what is found, in its pixels."""


class Found(NamedTuple):
    """What is in one image, best first."""

    boxes: Float[np.ndarray, "d 4"]
    """[y0, x0, y1, x1] in pixels of the image."""
    scores: Float[np.ndarray, " d"]
    classes: Int[np.ndarray, " d"]
    """Positions in the detector's `labels`."""
    names: tuple[str, ...]
    """Of the classes."""


class LoadedDetector(NamedTuple):
    """A network, ready to be given images of any size.

    `infer` is all that it knows of the network, so that one that was exported can take
    its place.
    """

    labels: LabelMap
    image_size: tuple[int, int]
    """Height and width of the network's input, pixels."""
    batch_size: int
    """Images for each call of `infer`, always as many."""
    resize: str
    """How an image becomes an input, a key of `transforms.RESIZES`."""
    pad_colour: Colour
    infer: Infer

    def __call__(self, image: np.ndarray) -> Found:
        """Returns what is in one image.

        Args:
          image: RGB, uint8, [height, width, 3], of any size.

        Raises:
          UsageError: it is no such image.
        """
        (found,) = self.detect([image])
        return found

    def detect(self, images: Iterable[np.ndarray]) -> Iterator[Found]:
        """Yields what is in each image, in their order.

        A batch is read while the one before it is computed. The last one is filled up,
        so that nothing is compiled twice.

        Args:
          images: RGB, uint8, [height, width, 3], each of any size.

        Raises:
          UsageError: one is no such image.
        """
        remaining = iter(images)
        running = None
        while batch := list(itertools.islice(remaining, self.batch_size)):
            started = self._start(batch)
            if running is not None:
                yield from self._finish(*running)
            running = started
        if running is not None:
            yield from self._finish(*running)

    def _start(
        self, images: Sequence[np.ndarray]
    ) -> tuple[Detections, list["_Placed"]]:
        placed = [self._place(image) for image in images]
        inputs = np.zeros((self.batch_size, *self.image_size, 3), np.uint8)
        inputs[: len(placed)] = [each.pixels for each in placed]
        return self.infer(inputs), placed

    def _place(self, image: np.ndarray) -> "_Placed":
        _check_image(image)
        size = image.shape[:2]
        placement = transforms.place(
            size, output_size=self.image_size, resize=self.resize
        )
        pixels = transforms.place_image(
            image,
            placement,
            output_size=self.image_size,
            pad_colour=self.pad_colour,
        )
        return _Placed(pixels, size, 1 / np.array(placement.scale, np.float32))

    def _finish(
        self, detections: Detections, placed: Sequence["_Placed"]
    ) -> Iterator[Found]:
        whole = jax.device_get(detections)
        for row, (_, size, scale) in enumerate(placed):
            kept = whole.scores[row] > 0
            boxes, scores, classes = (np.asarray(x[row])[kept] for x in whole)
            yield Found(
                evaluate.to_image_pixels(boxes, scale, size),
                scores,
                classes,
                tuple(self.labels.names[class_] for class_ in classes),
            )


class _Placed(NamedTuple):
    """An image as the network sees it."""

    pixels: UInt8[np.ndarray, "h w 3"]
    size: tuple[int, int]
    """Of the image, height and width."""
    scale: Float[np.ndarray, " 2"]
    """Multiplies rows and columns of the input to give those of the image."""


def load(
    path: str,
    *,
    config: ConfigDict | None = None,
    labels: Sequence[str] | None = None,
    batch_size: int = 1,
    score_threshold: float = SHOWN_SCORE,
    **settings: Any,
) -> LoadedDetector:
    """Returns the detector of a workdir, of a file of weights or of a bundle.

    Args:
      path: a workdir, of which the newest checkpoint counts; a file of weights; or a
        StableHLO bundle of `efdet export`, of which only the score threshold can
        be changed.
      config: of the experiment that the weights are of, where they do not say it.
      labels: a name for each output of the network, where they do not say them.
      batch_size: images that are computed together; rounded up to a multiple of the
        devices. Always as many are computed: for single images 1 is fastest.
      score_threshold: what scores above it is found, 0..1.
      **settings: other keys of `config.postprocess`, such as method="hard",
        per_class=False or max_detections=10. Those of the config where not given.

    Raises:
      UsageError: one of these is wrong: in one line what, and what to do.
    """
    settings = {"score_threshold": score_threshold} | settings
    if is_bundle(path):
        _check_bundle_takes(path, config=config, labels=labels, **settings)
        return detector_of_bundle(
            path, batch_size=batch_size, score_threshold=score_threshold
        )
    opened = open_model(path, config=config, labels=labels)
    set_detection(opened.config, **settings)
    return detector_of(opened, batch_size=batch_size)


def set_detection(config: ConfigDict, **settings: Any) -> None:
    """Changes what a config says of detections.

    Args:
      config: of a detector.
      **settings: keys of `config.postprocess`.

    Raises:
      UsageError: there is no such key, or its value cannot be.
    """
    for key, value in settings.items():
        if key not in config.postprocess:
            raise UsageError(
                f"{key}={value} is no setting of detection: use one of "
                f"{', '.join(config.postprocess)}"
            )
        config.postprocess[key] = value
    validate(config)


def detector_of(opened: OpenedModel, *, batch_size: int) -> LoadedDetector:
    """Returns the detector of a network; its first call compiles.

    Args:
      opened: the network.
      batch_size: see `load`.
    """
    config, assembly = opened.config, opened.assembly
    image_size = tuple(config.image_size)
    settings = functools.partial(
        evaluate.detect,
        model=assembly.model,
        anchors=assembly.anchors,
        image_size=image_size,
        normalisation=config.normalise.to_dict(),
        settings=config.postprocess.to_dict(),
    )

    def detect(variables: Tree, image: UInt8[Array, "b h w 3"]) -> Detections:
        return settings(variables, image)[0]

    mesh = meshes.make_mesh(1)
    step = compiled(detect, mesh)
    variables = jax.device_put(opened.variables, meshes.everywhere(mesh))
    return LoadedDetector(
        labels=opened.labels,
        image_size=image_size,
        batch_size=mesh.size * -(-batch_size // mesh.size),
        resize=config.data.resize,
        pad_colour=pad_colour(config),
        infer=lambda image: step(variables, meshes.place_images(image, mesh)),
    )


def detector_of_bundle(
    path: str, *, batch_size: int, score_threshold: float
) -> LoadedDetector:
    """Returns the detector that `efdet export` wrote; its first call compiles.

    Args:
      path: of the StableHLO bundle.
      batch_size: images that are computed together.
      score_threshold: what scores above it is found; what scores less than the bundle's
        own is not in it.

    Raises:
      UsageError: see `exporting.bundle.read_bundle`.
    """
    bundle = read_bundle(path)
    resize, colour = _placement(path, bundle.metadata)

    def infer(image: UInt8[np.ndarray, "b h w 3"]) -> Detections:
        found = Detections(**bundle.detect(image))
        is_kept = found.scores > score_threshold
        return found._replace(scores=jnp.where(is_kept, found.scores, 0.0))

    return LoadedDetector(
        labels=LabelMap.from_json(bundle.metadata.get("labels"), where=path),
        image_size=tuple(bundle.metadata["image_size"]),
        batch_size=batch_size,
        resize=resize,
        pad_colour=colour,
        infer=infer,
    )


def _placement(path: str, metadata: Mapping[str, Any]) -> tuple[str, Colour]:
    """Returns how an image becomes an input, as a bundle says it.

    Raises:
      UsageError: it says something else.
    """
    match metadata:
        case {
            "placement": {
                "resize": str(resize),
                "pad_colour": [
                    int() | float() as red,
                    int() | float() as green,
                    int() | float() as blue,
                ],
            }
        } if resize in transforms.RESIZES:
            return resize, (red, green, blue)
    raise UsageError(
        f"{path}: its metadata do not say how an image is placed: export it again"
    )


def _check_bundle_takes(path: str, *, score_threshold: float, **given: Any) -> None:
    """Checks that nothing is to be changed which an exported program has in it."""
    for key, value in given.items():
        if value is not None:
            raise UsageError(
                f"{key}={value} cannot be changed in {path}, which was exported with "
                "its own: leave it out, or export again"
            )


def _check_image(image: np.ndarray) -> None:
    """Checks that an array is an image.

    Raises:
      UsageError: it is not.
    """
    array = np.asarray(image)
    is_image = array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3
    if not is_image or 0 in array.shape:
        raise UsageError(
            f"an image is {array.dtype} of shape {list(array.shape)}: give uint8 of "
            "shape [height, width, 3], red, green and blue from 0 to 255"
        )
