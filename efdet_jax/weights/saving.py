"""Writing weights into one file that `opening.open_weights` reads again."""

import json
import pathlib
from collections.abc import Mapping

from ml_collections import ConfigDict

from efdet_jax.data.labels import LabelMap
from efdet_jax.structures import Tree
from efdet_jax.weights.opening import CONFIG, LABELS, flat_variables


def save(
    path: pathlib.Path,
    variables: Mapping[str, Tree],
    labels: LabelMap | None,
    config: ConfigDict | None = None,
) -> None:
    """Writes `params` and `batch_stats` as safetensors, by our paths.

    Args:
      path: of the file; replaced if it exists.
      variables: of a network.
      labels: its classes, if they are known.
      config: its config, if it is known: then the file needs no other to be used.
    """
    from safetensors.numpy import save_file  # Needed by few commands.

    metadata = {}
    if labels:
        metadata[LABELS] = json.dumps(labels.to_json())
    if config:
        metadata[CONFIG] = config.to_json()
    save_file(flat_variables(variables), path, metadata=metadata or None)
