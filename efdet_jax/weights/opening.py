"""Reading a weight file of whoever it is, and what it says of itself."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from efdet_jax.checkpoint import read_latest
from efdet_jax.data.labels import LabelMap, labels_of_predictor
from efdet_jax.errors import UsageError
from efdet_jax.models.efficientnet import FEATURE_LEVELS, stage_repeats
from efdet_jax.models.resnet import STAGES
from efdet_jax.structures import Tree
from efdet_jax.weights import predictor
from efdet_jax.weights.files.reading import Stored, read
from efdet_jax.weights.names.families import (
    OUR_CLASSIFIER,
    OURS,
    TFLITE,
    Family,
    recognise,
)
from efdet_jax.weights.names.naming import Layout

LABELS = "efdet_jax.labels"
"""Key of the classes in the metadata of the files that `saving.save` writes."""


class Weights(NamedTuple):
    """A weight file, read and recognised."""

    path: pathlib.Path
    family: Family
    arrays: Mapping[str, np.ndarray]
    """By the family's own names."""
    labels: LabelMap | None
    """The classes of its predictor, where the file says them."""


def open_weights(path: str | pathlib.Path) -> Weights:
    """Reads a file, a checkpoint or a workdir and finds out whose it is.

    Raises:
      UsageError: naming the file, what is wrong with it and the remedy.
    """
    path = pathlib.Path(path)
    if (path / "checkpoints").is_dir():
        return _open_workdir(path)
    stored = read(path)
    family = TFLITE if stored.container == "tflite" else recognise(stored.arrays)
    if family is None:
        some = ", ".join(sorted(stored.arrays)[:3])
        raise UsageError(
            f"{path}: has arrays such as {some}, which are of no model that is known "
            "here: give weights of EfficientDet, EfficientNet or ResNet"
        )
    return Weights(path, family, family.tidy(stored.arrays), _labels(stored, path))


def _labels(stored: Stored, path: pathlib.Path) -> LabelMap | None:
    """Returns the classes that a file says, None if it says none.

    Raises:
      UsageError: what it says are no classes.
    """
    if LABELS not in stored.metadata:
        return None
    try:
        document = json.loads(stored.metadata[LABELS])
    except (ValueError, RecursionError):
        document = None
    return LabelMap.from_json(document, where=path)


def _open_workdir(path: pathlib.Path) -> Weights:
    latest = read_latest(path / "checkpoints")
    if latest is None:
        raise UsageError(f"{path}: has no checkpoint: train there first")
    labels = LabelMap.from_json(latest.progress.get("labels"), where=path)
    arrays = flat_variables(latest.state["ema"])
    family = OUR_CLASSIFIER if OUR_CLASSIFIER.is_this(arrays) else OURS
    return Weights(path, family, arrays, labels)


def flat_variables(variables: Mapping[str, Tree]) -> dict[str, np.ndarray]:
    """Returns {path: array} of `params` and `batch_stats`, which share no path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(dict(variables))
    return {path_of(path): np.asarray(leaf) for path, leaf in leaves}


def path_of(path: tuple[Any, ...]) -> str:
    """Returns the name of a variable: its path in the tree without the collection."""
    return "/".join(str(key.key) for key in path[1:])


def classes_of(weights: Weights, config: ConfigDict) -> LabelMap:
    """Returns the classes that a file's predictor tells apart.

    Raises:
      UsageError: the file does not say.
    """
    labels = known_classes(weights, config)
    if labels is None:
        raise UsageError(
            f"{weights.path}: does not say which classes it knows: set "
            "--config.model.num_classes"
        )
    return labels


def known_classes(weights: Weights, config: ConfigDict) -> LabelMap | None:
    """Returns the classes that a file says, or that its like has; None if unknown."""
    return weights.labels or usual_labels(num_predicted(weights, config), config)


def usual_labels(num_classes: int, config: ConfigDict) -> LabelMap | None:
    """Returns what a published network with so many classes tells apart, if known.

    A classifier with as many classes as COCO tells something else apart.
    """
    return labels_of_predictor(num_classes) if config.task == "detection" else None


def num_predicted(weights: Weights, config: ConfigDict) -> int:
    """Returns how many classes the file's predictor has, 0 if it has no predictor."""
    path = f"{predictor.PATHS[config.task]}/bias"
    names = weights.family.names(path, layout_of(config))
    if not names or names[0] not in weights.arrays:
        return 0
    return weights.arrays[names[0]].size // anchors_per_cell(config)


def anchors_per_cell(config: ConfigDict) -> int:
    """Returns how often the predictor says each class: for each anchor of a cell."""
    if config.task == "classification":
        return 1
    return config.model.anchors.octaves * len(config.model.anchors.aspect_ratios)


def layout_of(config: ConfigDict) -> Layout:
    """Returns what names depend on."""
    backbone = config.model.backbone
    if backbone.name == "efficientnet":
        stages = stage_repeats(backbone.depth, lite=backbone.lite)
    else:
        stages = STAGES[backbone.depth]
    levels = (FEATURE_LEVELS[0], FEATURE_LEVELS[-1])
    if config.task == "detection":
        levels = tuple(config.model.levels)
    return Layout(backbone.name, stages, levels)
