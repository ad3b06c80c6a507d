"""From a path to a network with its weights and the names of its classes."""

import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from efdet_jax import assemble
from efdet_jax.assemble import Assembly
from efdet_jax.config import from_json
from efdet_jax.data.labels import LabelMap
from efdet_jax.errors import UsageError
from efdet_jax.inference.published import published_config
from efdet_jax.structures import Tree
from efdet_jax.validation import validate
from efdet_jax.weights.filling import fill
from efdet_jax.weights.names.families import DETECTOR
from efdet_jax.weights.opening import (
    Weights,
    is_workdir,
    known_classes,
    num_predicted,
    open_weights,
)


class OpenedModel(NamedTuple):
    """A network that is ready to detect."""

    config: ConfigDict
    """Of its own; who opened it may change what is no size, such as `postprocess`."""
    labels: LabelMap
    assembly: Assembly
    variables: dict[str, Tree]
    """`params` and `batch_stats`, as NumPy arrays: of a run its averages."""


def open_model(
    path: str, *, config: ConfigDict | None, labels: Sequence[str] | None
) -> OpenedModel:
    """Opens a workdir of ours or a file of weights.

    Args:
      path: a workdir, of which the newest checkpoint that is whole counts; or whatever
        `weights.opening.open_weights` reads.
      config: of the experiment that the weights are of. None where they say it: a
        workdir, a file of `efdet_jax.convert`, and any whose shapes are those of one
        published model.
      labels: a name for each output of the network, in order. None where they are
        known: from the run, from the file, or because they are COCO's.

    Raises:
      UsageError: naming what is wrong with the path, the config or the labels, and the
        remedy.
    """
    weights = open_weights(path)
    if weights.family.covers != DETECTOR:
        raise UsageError(
            f"{path}: holds no detector ({weights.family.name}): name a run that "
            "detects objects, or weights of an EfficientDet"
        )
    config = _config(weights, config)
    label_map = _label_map(weights, config, labels)
    config.model.num_classes = label_map.num_classes
    assembly = assemble.detector(config, label_map.num_classes)
    variables, report = fill(weights, assembly.variables, None, config)
    if report.initial:
        raise UsageError(
            f"{path}: --config.init_from_ignore leaves out {next(iter(report.initial))}"
            f" and {len(report.initial) - 1} more, which nothing can be detected "
            "without: use the experiment that the weights are of"
        )
    return OpenedModel(config, label_map, assembly, variables)


def in_float32(opened: OpenedModel) -> OpenedModel:
    """Returns a network that computes in float32, whatever it was trained in."""
    config = opened.config.copy_and_resolve_references()
    config.model.dtype = "float32"
    assembly = assemble.detector(config, opened.labels.num_classes)
    return opened._replace(config=config, assembly=assembly)


def read_names(path: str) -> tuple[str, ...]:
    """Returns the lines of a text file that are not empty: a class name each.

    Raises:
      UsageError: it cannot be read, or holds none.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8 text"
        raise UsageError(
            f"--labels={path} cannot be read ({reason}): name a text file with the "
            "name of a class on each line"
        ) from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise UsageError(
            f"--labels={path} is empty: write the name of a class on each line"
        )
    return names


def _config(weights: Weights, given: ConfigDict | None) -> ConfigDict:
    """Returns a config for weights: the given one, their own, or a published one."""
    if given is not None:
        return given.copy_and_resolve_references()
    text = weights.config
    if is_workdir(weights.path):
        text = _config_of_run(weights.path)
    if text is None:
        return published_config(weights)
    try:
        config = from_json(json.loads(text))
        # What its weights were started from says nothing of those they are now.
        config.init_from = config.init_from_ignore = ""
        validate(config)
    # It may be of another version, without any key that there is now.
    except Exception as error:
        raise UsageError(
            f"{weights.path}: its config is damaged or of another version "
            f"({' '.join(str(error).split())[:200]}): name the experiment that it is "
            "of with --config"
        ) from error
    return config


def _config_of_run(workdir: pathlib.Path) -> str:
    """Returns the config of a workdir, in JSON."""
    path = workdir / "config.json"
    try:
        return json.dumps(json.loads(path.read_text())["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is missing or damaged: name the experiment that the run is of "
            "with --config"
        ) from error


def _label_map(
    weights: Weights, config: ConfigDict, names: Sequence[str] | None
) -> LabelMap:
    """Returns the classes of the network, with the given names if there are any."""
    known = known_classes(weights, config)
    if names is None:
        if known is None:
            raise UsageError(
                f"{weights.path}: does not say what its classes are called: name them "
                "with --labels=names.txt, a name on each line"
            )
        return known
    count = known.num_classes if known else num_predicted(weights, config)
    if len(names) != count:
        raise UsageError(
            f"--labels has {len(names)} names, but {weights.path} tells {count} "
            "classes apart: give one name for each, in the order of the outputs"
        )
    ids = known.ids if known else tuple(range(1, count + 1))
    return LabelMap(ids, tuple(names))
