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
from efdet_jax.models.efficientnet import stage_repeats
from efdet_jax.models.resnet import STAGES
from efdet_jax.structures import Tree
from efdet_jax.weights import predictor
from efdet_jax.weights.files.reading import read
from efdet_jax.weights.names.families import OURS, TFLITE, Family, recognise
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
    labels = None
    if LABELS in stored.metadata:
        labels = LabelMap.from_json(json.loads(stored.metadata[LABELS]))
    return Weights(path, family, family.tidy(stored.arrays), labels)


def _open_workdir(path: pathlib.Path) -> Weights:
    latest = read_latest(path / "checkpoints")
    if latest is None:
        raise UsageError(f"{path}: has no checkpoint: train there first")
    labels = LabelMap.from_json(latest.progress["labels"])
    return Weights(path, OURS, flat_variables(latest.state["ema"]), labels)


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
    labels = weights.labels or labels_of_predictor(num_predicted(weights, config))
    if labels is None:
        raise UsageError(
            f"{weights.path}: does not say which classes it knows: set "
            "--config.model.num_classes"
        )
    return labels


def num_predicted(weights: Weights, config: ConfigDict) -> int:
    """Returns how many classes the file's predictor has, 0 if it has no predictor."""
    names = weights.family.names(f"{predictor.PATH}/bias", layout_of(config))
    if not names or names[0] not in weights.arrays:
        return 0
    return weights.arrays[names[0]].size // anchors_per_cell(config)


def anchors_per_cell(config: ConfigDict) -> int:
    """Returns how many anchors each cell of a level has."""
    return config.model.anchors.octaves * len(config.model.anchors.aspect_ratios)


def layout_of(config: ConfigDict) -> Layout:
    """Returns what names depend on."""
    backbone = config.model.backbone
    if backbone.name == "efficientnet":
        stages = stage_repeats(backbone.depth, lite=backbone.lite)
    else:
        stages = STAGES[backbone.depth]
    return Layout(backbone.name, stages, tuple(config.model.levels))
