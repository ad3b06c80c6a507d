"""Published weights, and our own, as the variables of a network.

This starts a run; it does not resume one.
"""

import logging
import pathlib

from ml_collections import ConfigDict

from efdet_jax.models.detector import abstract_variables
from efdet_jax.models.networks import NETWORKS
from efdet_jax.structures import Tree
from efdet_jax.weights.filling import fill
from efdet_jax.weights.opening import Weights, classes_of, open_weights, usual_labels

_LOG = logging.getLogger(__name__)


def import_weights(path: str | pathlib.Path, config: ConfigDict) -> dict[str, Tree]:
    """Returns `params` and `batch_stats` of the config's model, from a weight file.

    Args:
      path: a file or checkpoint of any family in `families.FAMILIES`, a file that
        `saving.save` wrote, or a workdir of ours. What it is, its contents say.
      config: of any experiment. Its `model.num_classes` may be 0: then there are as
        many as in the file.

    Raises:
      UsageError: naming the file, what is wrong with it and the remedy.
    """
    return imported(open_weights(path), config)


def imported(weights: Weights, config: ConfigDict) -> dict[str, Tree]:
    """Returns the variables of the config's model from weights that are open.

    Raises:
      UsageError: see `fill`.
    """
    section = config.model.copy_and_resolve_references()
    if not section.num_classes:
        section.num_classes = classes_of(weights, config).num_classes
    network = NETWORKS[config.task](section)
    shapes = abstract_variables(network, tuple(config.image_size))
    labels = usual_labels(section.num_classes, config)
    variables, report = fill(weights, shapes, labels, config)
    _LOG.info("%s", report.table())
    return variables
