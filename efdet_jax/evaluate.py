"""Predicting a whole data set and scoring it."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, UInt8
from ml_collections import ConfigDict

from efdet_jax.assemble import Assembly, pad_colour, reading
from efdet_jax.data.pipeline import eval_batches
from efdet_jax.data.source import Source
from efdet_jax.diagnosis.matching import match
from efdet_jax.loss_shares import LossHistogram, LossMeter, loss_shares
from efdet_jax.metrics import coco_figures
from efdet_jax.models.detector import normalise
from efdet_jax.pictures import draw_comparison
from efdet_jax.postprocess import postprocess
from efdet_jax.predicting import PredictStep, compiled, latency, predictions
from efdet_jax.results import coco_results
from efdet_jax.structures import (
    IGNORED,
    Batch,
    Detections,
    Evaluation,
    Outputs,
    Tree,
)


class Prediction(NamedTuple):
    """The detections of a batch in input pixels, with what says whose they are."""

    detections: Detections
    image_index: Int[Array | np.ndarray, " b"]
    scale: Float[Array | np.ndarray, "b 2"]
    losses: LossHistogram | None = None
    """Of all of the batch's images, where they are measured."""


def detect(
    variables: Tree,
    image: UInt8[Array | np.ndarray, "b h w 3"],
    *,
    model: nn.Module,
    anchors: Float[np.ndarray, "a 4"],
    image_size: tuple[int, int],
    normalisation: Mapping[str, tuple[float, float, float]],
    settings: Mapping[str, Any],
) -> tuple[Detections, Outputs]:
    """Returns what is found in images, and what the network says of every anchor.

    Args:
      variables: `params` and `batch_stats`.
      image: RGB, 0..255, as the network's input.
      model: the network.
      anchors: its anchors.
      image_size: height and width of its input.
      normalisation: arguments of `normalise`.
      settings: of `postprocess`.
    """
    outputs: Any = model.apply(
        variables, normalise(image, **normalisation), train=False
    )
    return postprocess(outputs, anchors, image_size=image_size, **settings), outputs


def make_predict_step(
    model: nn.Module,
    anchors: Float[np.ndarray, "a 4"],
    mesh: Mesh,
    *,
    image_size: tuple[int, int],
    normalisation: Mapping[str, tuple[float, float, float]],
    measure_losses: LossMeter | None = None,
    **settings: Any,
) -> PredictStep:
    """Returns a compiled (variables, batch) → `Prediction`.

    Args:
      model: the network.
      anchors: its anchors.
      mesh: the devices.
      image_size: height and width of the network input.
      normalisation: arguments of `normalise`.
      measure_losses: what measures them, if anything does.
      **settings: of `postprocess`.
    """

    def predict(variables: Tree, batch: Batch) -> Prediction:
        detections, outputs = detect(
            variables,
            batch.image,
            model=model,
            anchors=anchors,
            image_size=image_size,
            normalisation=normalisation,
            settings=settings,
        )
        losses = measure_losses(outputs, batch) if measure_losses else None
        return Prediction(detections, batch.image_index, batch.scale, losses)

    return compiled(predict, mesh)


def evaluate(
    predict_step: PredictStep,
    variables: Tree,
    source: Source,
    batches: Iterable[Batch],
    mesh: Mesh,
    *,
    num_pictures: int,
) -> Evaluation:
    """Scores every image of `source` exactly once.

    Differs: google/automl scores boxes that reach beyond the image as they are; here
      they are cut at its borders, where annotations end too.

    Args:
      predict_step: from `make_predict_step`.
      variables: `params` and `batch_stats`.
      source: the images; its annotations are the truth.
      batches: all of its images once, from `data.pipeline.eval_batches`.
      mesh: the devices.
      num_pictures: how many images to draw with truth and detections.
    """
    annotations = [source.annotations(i) for i in range(len(source))]
    found: list[tuple[np.ndarray, ...]] = []
    losses, pictures, times = [], [], []
    for batch, prediction, rows, milliseconds in predictions(
        predict_step, variables, batches, mesh, num_images=len(source)
    ):
        times.append(milliseconds)
        losses += [prediction.losses] if prediction.losses else []
        for row in rows:
            index = prediction.image_index[row]
            kept = prediction.detections.scores[row] > 0
            boxes, scores, classes = (x[row][kept] for x in prediction.detections)
            truth = annotations[index]
            in_image = to_image_pixels(
                boxes, prediction.scale[row], (truth.height, truth.width)
            )
            found.append((np.full(len(boxes), index), in_image, scores, classes))
            # Process 0 has its own rows first among those of all processes.
            if len(pictures) < num_pictures and row < len(batch.image):
                found_here = (
                    in_image / np.tile(prediction.scale[row], 2),
                    scores,
                    classes,
                )
                pictures.append(_draw(batch, row, found_here, source.labels.names))
    image_index, boxes, scores, classes = map(np.concatenate, zip(*found, strict=True))
    detections = {
        "image_index": image_index,
        "boxes": boxes,
        "scores": scores,
        "classes": classes,
    }
    figures = coco_figures(
        annotations, **detections, num_classes=source.labels.num_classes
    )
    shares = loss_shares(losses) if losses else {}
    return Evaluation(
        figures.summary | shares | latency(times),
        pictures,
        lambda: coco_results(
            [each.image_id for each in annotations], source.labels.ids, **detections
        ),
    )


def to_image_pixels(
    boxes: Float[np.ndarray, "d 4"],
    scale: Float[np.ndarray, " 2"],
    size: tuple[int, int],
) -> Float[np.ndarray, "d 4"]:
    """Takes boxes from the network's input to the image, and cuts them at its borders.

    Args:
      boxes: in pixels of the input.
      scale: of `Batch.scale`.
      size: height and width of the image.
    """
    limits = np.array(size * 2, np.float32)
    return np.clip(boxes * np.tile(scale, 2), 0, limits)


def _draw(
    batch: Batch, row: int, found: Sequence[np.ndarray], names: Sequence[str]
) -> np.ndarray:
    """Returns a picture of one image with its boxes, scores and classes found."""
    boxes, classes = np.asarray(batch.boxes[row]), np.asarray(batch.classes[row])
    found_boxes, found_scores, found_classes = found
    return draw_comparison(
        np.asarray(batch.image[row]),
        boxes,
        classes,
        found_boxes,
        found_scores,
        found_classes,
        match(boxes, classes, classes == IGNORED, *found),
        names=names,
    )


def configured_predict_step(
    config: ConfigDict,
    assembly: Assembly,
    mesh: Mesh,
    measure_losses: LossMeter | None = None,
) -> PredictStep:
    """Returns `make_predict_step` as the config says."""
    return make_predict_step(
        assembly.model,
        assembly.anchors,
        mesh,
        image_size=tuple(config.image_size),
        normalisation=config.normalise.to_dict(),
        measure_losses=measure_losses,
        **config.postprocess.to_dict(),
    )


def make_evaluator(
    config: ConfigDict,
    assembly: Assembly,
    source: Source,
    mesh: Mesh,
    measure_losses: LossMeter | None = None,
) -> Callable[[Tree], Evaluation]:
    """Returns what scores variables on `source` as the config says."""
    predict_step = configured_predict_step(config, assembly, mesh, measure_losses)

    def evaluator(variables: Tree) -> Evaluation:
        batches = eval_batches(
            source,
            image_size=tuple(config.image_size),
            resize=config.data.resize,
            pad_colour=pad_colour(config),
            max_boxes=config.data.max_boxes,
            **reading(config, config.eval.batch_size),
        )
        with contextlib.closing(batches):
            return evaluate(
                predict_step,
                variables,
                source,
                batches,
                mesh,
                num_pictures=config.eval.pictures,
            )

    return evaluator
