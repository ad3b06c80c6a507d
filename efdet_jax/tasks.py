"""What detecting objects and classifying images do not have in common.

All else is one code path: loop, step, optimizer, averages, checkpoints, journal, mesh.
"""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from efdet_jax import accuracy, assemble, evaluate
from efdet_jax.assemble import Assembly, pad_colour, reading
from efdet_jax.balance import balance
from efdet_jax.data import labelled, pipeline
from efdet_jax.data.source import Source
from efdet_jax.data.streams import Batches
from efdet_jax.inspection.first_look import first_look
from efdet_jax.loss_shares import make_loss_meter
from efdet_jax.objectives import Objective
from efdet_jax.predicting import PredictStep
from efdet_jax.structures import (
    BACKGROUND,
    Batch,
    Evaluation,
    LabelledBatch,
    Tree,
)

_LOG = logging.getLogger(__name__)


class Lesson(NamedTuple):
    """What training data makes of a config."""

    objective: Objective
    batches: Batches
    measures: Mapping[str, Any]
    """Keywords of `make_evaluator`: what evaluations measure besides, while training.
    """


class Task(NamedTuple):
    """A row of `TASKS`."""

    assemble: Callable[[ConfigDict, int], Assembly]
    """(config, number of classes) → the network and its loss."""
    lesson: Callable[[ConfigDict, Assembly, Source], Lesson]
    look: Callable[..., None]
    """(source, config, name) → logs what is strange about a data set."""
    blank_batch: Callable[[ConfigDict], Any]
    """What this host's share of a batch looks like, without data."""
    make_predict_step: Callable[..., PredictStep]
    """(config, assembly, mesh) → what says what is in a batch of images."""
    make_evaluator: Callable[..., Callable[[Tree], Evaluation]]
    """(config, assembly, source, mesh) → what scores variables."""
    figures: tuple[str, ...]
    """Of an evaluation, those to show a person; the first two while it trains."""


def _detection_lesson(config: ConfigDict, assembly: Assembly, source: Source) -> Lesson:
    weights, repeats = balance(config, source)
    meter = make_loss_meter(
        assembly.anchors,
        matching=config.assign.to_dict(),
        loss=config.loss.to_dict() | {"class_weights": weights},
    )
    batches = pipeline.train_batches(
        source,
        image_size=tuple(config.image_size),
        resize=config.data.resize,
        pad_colour=pad_colour(config),
        max_boxes=config.data.max_boxes,
        flip=config.data.flip,
        jitter=tuple(config.data.jitter),
        min_visible=config.data.min_visible,
        augment=config.data.augment.to_dict(),
        max_broken=config.data.max_broken,
        seed=config.seed,
        **reading(config, config.batch_size),
        repeats=repeats,
    )
    share = functools.partial(assembly.objective.share, class_weights=weights)
    weighted = assembly.objective._replace(share=share)
    return Lesson(weighted, batches, {"measure_losses": meter})


def _classification_lesson(
    config: ConfigDict, assembly: Assembly, source: Source
) -> Lesson:
    batches = labelled.train_batches(
        source,
        image_size=tuple(config.image_size),
        crop_area=tuple(config.data.crop_area),
        crop_aspect=tuple(config.data.crop_aspect),
        flip=config.data.flip,
        max_broken=config.data.max_broken,
        seed=config.seed,
        **reading(config, config.batch_size),
    )
    return Lesson(assembly.objective, batches, {})


def _count(source: Source, config: ConfigDict, *, name: str) -> None:
    del config
    _LOG.info("%s: %d images, %d classes", name, len(source), source.labels.num_classes)


def _blank_images(config: ConfigDict) -> np.ndarray:
    share = config.batch_size // jax.process_count()
    return np.zeros((share, *config.image_size, 3), np.uint8)


def _blank_batch(config: ConfigDict) -> Batch:
    image = _blank_images(config)
    rows = (len(image), config.data.max_boxes)
    return Batch(
        image=image,
        boxes=np.zeros((*rows, 4), np.float32),
        classes=np.full(rows, BACKGROUND, np.int32),
        image_index=np.zeros(len(image), np.int32),
        scale=np.ones((len(image), 2), np.float32),
    )


def _blank_labelled_batch(config: ConfigDict) -> LabelledBatch:
    image = _blank_images(config)
    none = np.zeros(len(image), np.int32)
    return LabelledBatch(image=image, classes=none, image_index=none)


TASKS = {
    "detection": Task(
        assemble=assemble.detector,
        lesson=_detection_lesson,
        look=first_look,
        blank_batch=_blank_batch,
        make_predict_step=evaluate.configured_predict_step,
        make_evaluator=evaluate.make_evaluator,
        figures=("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100"),
    ),
    "classification": Task(
        assemble=assemble.classifier,
        lesson=_classification_lesson,
        look=_count,
        blank_batch=_blank_labelled_batch,
        make_predict_step=accuracy.configured_predict_step,
        make_evaluator=accuracy.make_evaluator,
        figures=tuple(accuracy.FIGURES),
    ),
}
"""By config.task."""
