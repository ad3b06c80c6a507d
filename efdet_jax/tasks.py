"""What detecting objects and classifying images do not have in common.

All else is one code path: loop, step, optimizer, averages, checkpoints, journal, mesh.
"""

from collections.abc import Callable
from typing import NamedTuple

import grain
import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from efdet_jax import accuracy, assemble, evaluate
from efdet_jax.data import labelled, pipeline
from efdet_jax.data.source import Source
from efdet_jax.structures import Evaluation, Tree


class Task(NamedTuple):
    """A row of `TASKS`."""

    assemble: Callable[[ConfigDict, int], assemble.Assembly]
    """(config, number of classes) → the network and its loss."""
    train_batches: Callable[[ConfigDict, Source], grain.DatasetIterator]
    make_evaluator: Callable[
        [ConfigDict, assemble.Assembly, Source, Mesh], Callable[[Tree], Evaluation]
    ]
    figures: tuple[str, ...]
    """Of an evaluation, those to show a person; the first two while it trains."""


def _detection_batches(config: ConfigDict, source: Source) -> grain.DatasetIterator:
    hosts = jax.process_count()
    return pipeline.train_batches(
        source,
        image_size=tuple(config.image_size),
        batch_size=config.batch_size // hosts,
        resize=config.data.resize,
        pad_colour=tuple(config.normalise.mean),
        max_boxes=config.data.max_boxes,
        flip=config.data.flip,
        jitter=tuple(config.data.jitter),
        seed=config.seed,
        num_threads=config.data.num_threads,
        shard=(jax.process_index(), hosts),
    )


def _classification_batches(
    config: ConfigDict, source: Source
) -> grain.DatasetIterator:
    hosts = jax.process_count()
    return labelled.train_batches(
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


TASKS = {
    "detection": Task(
        assemble=assemble.detector,
        train_batches=_detection_batches,
        make_evaluator=evaluate.make_evaluator,
        figures=("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100"),
    ),
    "classification": Task(
        assemble=assemble.classifier,
        train_batches=_classification_batches,
        make_evaluator=accuracy.make_evaluator,
        figures=tuple(accuracy.FIGURES),
    ),
}
"""By config.task."""
