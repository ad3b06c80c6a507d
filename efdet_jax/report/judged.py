"""Validation data with what a run has found in it, and what that is worth."""

import contextlib
import pathlib
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from efdet_jax.assemble import pad_colour
from efdet_jax.data.augment.example import Example, as_example
from efdet_jax.data.labels import LabelMap
from efdet_jax.data.pipeline import fitted
from efdet_jax.data.sound import read_sound
from efdet_jax.data.source import Source
from efdet_jax.diagnosis.matching import owners
from efdet_jax.errors import UsageError
from efdet_jax.report.records import read_detections
from efdet_jax.structures import Annotations, SplitDetections


class Judged(NamedTuple):
    """A data set and detections in it."""

    annotations: Collection[Annotations]
    names: tuple[str, ...]
    """Of the classes."""
    found: SplitDetections
    owner: Int[np.ndarray, " d"]
    """What each has found, of `diagnosis.matching.owners`."""
    object_counts: Int[np.ndarray, " k"]
    """Objects of each class, crowds left out."""


def judge(
    workdir: pathlib.Path, annotations: Collection[Annotations], labels: LabelMap
) -> Judged:
    """Compares what a run has found with what there is.

    Args:
      workdir: of the run.
      annotations: of its validation data, in the classes of the network.
      labels: of the network.

    Raises:
      UsageError: see `records.read_detections`.
    """
    found = read_detections(workdir / "detections.json", annotations, labels)
    classes = [each.classes[~each.is_crowd] for each in annotations]
    return Judged(
        annotations=annotations,
        names=labels.names,
        found=found,
        owner=owners(annotations, found),
        object_counts=np.bincount(
            np.concatenate(classes), minlength=labels.num_classes
        ),
    )


def seen(source: Source, i: int, config: ConfigDict) -> Example:
    """Returns an image as the network sees it.

    Raises:
      UsageError: it is broken.
    """
    return fitted(
        as_example(read_sound(source, i)),
        image_size=tuple(config.image_size),
        resize=config.data.resize,
        pad_colour=pad_colour(config),
    )


def first_sound(
    source: Source, config: ConfigDict, most: int
) -> list[tuple[int, Example]]:
    """Returns the first images that are not broken, and their positions."""
    found = []
    for i in range(len(source)):
        with contextlib.suppress(UsageError):
            found.append((i, seen(source, i, config)))
        if len(found) == most:
            break
    return found
