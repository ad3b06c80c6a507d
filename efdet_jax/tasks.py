"""What detecting objects and classifying images do not have in common.

All else is one code path: loop, step, optimizer, averages, checkpoints, journal, mesh.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import grain
import jax
from ml_collections import ConfigDict

from efdet_jax import accuracy, assemble, evaluate
from efdet_jax.assemble import Assembly, pad_colour
from efdet_jax.balance import balance
from efdet_jax.data import labelled, pipeline
from efdet_jax.data.source import Source
from efdet_jax.loss_shares import make_loss_meter
from efdet_jax.objectives import Objective
from efdet_jax.structures import Evaluation, Tree


class Lesson(NamedTuple):
    """What training data makes of a config."""

    objective: Objective
    batches: grain.DatasetIterator
    measures: Mapping[str, Any]
    """Keywords of `make_evaluator`: what evaluations measure besides, while training.
    """


class Task(NamedTuple):
    """A row of `TASKS`."""

    assemble: Callable[[ConfigDict, int], Assembly]
    """(config, number of classes) → the network and its loss."""
    lesson: Callable[[ConfigDict, Assembly, Source], Lesson]
    make_evaluator: Callable[..., Callable[[Tree], Evaluation]]
    """(config, assembly, source, mesh) → what scores variables."""
    figures: tuple[str, ...]
    """Of an evaluation, those to show a person; the first two while it trains."""


def _detection_lesson(config: ConfigDict, assembly: Assembly, source: Source) -> Lesson:
    weights, repeats = balance(config, source)
    meter = make_loss_meter(
        assembly.anchors,
        match_iou=config.assign.match_iou,
        loss=config.loss.to_dict() | {"class_weights": weights},
    )
    hosts = jax.process_count()
    batches = pipeline.train_batches(
        source,
        image_size=tuple(config.image_size),
        batch_size=config.batch_size // hosts,
        resize=config.data.resize,
        pad_colour=pad_colour(config),
        max_boxes=config.data.max_boxes,
        flip=config.data.flip,
        jitter=tuple(config.data.jitter),
        min_visible=config.data.min_visible,
        augment=config.data.augment.to_dict(),
        seed=config.seed,
        num_threads=config.data.num_threads,
        shard=(jax.process_index(), hosts),
        repeats=repeats,
    )
    weighted = functools.partial(assembly.objective, class_weights=weights)
    return Lesson(weighted, batches, {"measure_losses": meter})


def _classification_lesson(
    config: ConfigDict, assembly: Assembly, source: Source
) -> Lesson:
    hosts = jax.process_count()
    batches = labelled.train_batches(
        source,
        image_size=tuple(config.image_size),
        batch_size=config.batch_size // hosts,
        crop_area=tuple(config.data.crop_area),
        crop_aspect=tuple(config.data.crop_aspect),
        flip=config.data.flip,
        seed=config.seed,
        num_threads=config.data.num_threads,
        shard=(jax.process_index(), hosts),
    )
    return Lesson(assembly.objective, batches, {})


TASKS = {
    "detection": Task(
        assemble=assemble.detector,
        lesson=_detection_lesson,
        make_evaluator=evaluate.make_evaluator,
        figures=("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100"),
    ),
    "classification": Task(
        assemble=assemble.classifier,
        lesson=_classification_lesson,
        make_evaluator=accuracy.make_evaluator,
        figures=tuple(accuracy.FIGURES),
    ),
}
"""By config.task."""
