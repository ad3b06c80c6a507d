"""From a config to the objects that training and evaluation work with."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Float
from ml_collections import ConfigDict

from efdet_jax import objectives
from efdet_jax.anchors import anchor_grid
from efdet_jax.data.datasets import open_source
from efdet_jax.data.source import Source
from efdet_jax.data.transforms import PAD_COLOURS, Colour
from efdet_jax.data.whole import check_whole
from efdet_jax.errors import UsageError
from efdet_jax.flops import multiply_adds, num_parameters
from efdet_jax.models.detector import abstract_variables
from efdet_jax.models.networks import NETWORKS, Network
from efdet_jax.objectives import Objective


class Assembly(NamedTuple):
    """A network with its loss and everything that its sizes decide."""

    model: Network
    objective: Objective
    anchors: Float[np.ndarray, "a 4"]
    """A classifier has none: zero rows."""
    variables: dict
    """Shapes of `params` and `batch_stats`."""
    params: int
    multiply_adds: int
    """Of one image's forward pass."""


def open_data(config: ConfigDict, split: str) -> Source:
    """Returns the data that config.data.train or .val names, in classes of its own.

    Raises:
      UsageError: they cannot be opened, there are none, or they have no classes; or
        they are to be classified, and an image has not exactly one class.
    """
    spec = config.data[split]
    source = open_spec(config, spec, name=f"config.data.{split}={spec}")
    if config.task == "classification":
        check_whole(source, f"config.data.{split}={spec}")
    return source


def open_spec(config: ConfigDict, spec: str, *, name: str) -> Source:
    """Returns the data set of a specification, drawn ones as the config has them.

    Args:
      config: of the run.
      spec: see `data.datasets.open_source`.
      name: what to call it in an error.

    Raises:
      UsageError: it cannot be opened, or has no image or no class.
    """
    source = open_source(
        spec,
        image_size=tuple(config.image_size),
        shapes=config.data.shapes.to_dict(),
    )
    for what, count in (("images", len(source)), ("classes", len(source.labels.ids))):
        if count == 0:
            raise UsageError(f"{name} has no {what}: check its path")
    return source


def reading(config: ConfigDict, batch_size: int) -> dict[str, Any]:
    """Returns what every pipeline takes of a config: how this host reads its share.

    Args:
      config: of the run.
      batch_size: images per global batch.
    """
    hosts = jax.process_count()
    return {
        "batch_size": batch_size // hosts,
        "num_threads": config.data.num_threads,
        "num_workers": config.data.num_workers,
        "shard": (jax.process_index(), hosts),
        "patience": config.data.patience,
    }


def pad_colour(config: ConfigDict) -> Colour:
    """Returns what surrounds images that do not fill the network's input, 0..255."""
    return PAD_COLOURS[config.data.pad_colour](tuple(config.normalise.mean))


def detector(config: ConfigDict, num_classes: int) -> Assembly:
    """Returns the detector of a config; computes no weights, touches no device."""
    anchors = anchor_grid(
        tuple(config.image_size),
        levels=tuple(config.model.levels),
        **config.model.anchors.to_dict(),
    )
    objective = Objective(
        functools.partial(
            objectives.detection_targets,
            anchors=anchors,
            matching=config.assign.to_dict(),
        ),
        functools.partial(objectives.detection, loss=config.loss.to_dict()),
    )
    return _measured(config, num_classes, objective, anchors)


def classifier(config: ConfigDict, num_classes: int) -> Assembly:
    """Returns the classifier of a config; computes no weights, touches no device."""
    objective = Objective(
        objectives.classification_targets,
        functools.partial(objectives.classification, **config.loss.to_dict()),
    )
    return _measured(config, num_classes, objective, np.zeros((0, 4), np.float32))


def _measured(
    config: ConfigDict,
    num_classes: int,
    objective: Objective,
    anchors: Float[np.ndarray, "a 4"],
) -> Assembly:
    section = config.model.copy_and_resolve_references()
    section.num_classes = num_classes
    model = NETWORKS[config.task](section)
    image_size = tuple(config.image_size)
    variables = abstract_variables(model, image_size)
    image = jax.ShapeDtypeStruct((1, *image_size, 3), jnp.float32)
    return Assembly(
        model=model,
        objective=objective,
        anchors=anchors,
        variables=variables,
        params=num_parameters(variables["params"]),
        multiply_adds=multiply_adds(
            functools.partial(model.apply, train=False), variables, image
        ),
    )


def num_classes(config: ConfigDict) -> int:
    """Returns the network's classes, reading class names only where they decide."""
    if config.model.num_classes:
        return config.model.num_classes
    return open_data(config, "train").labels.num_classes
