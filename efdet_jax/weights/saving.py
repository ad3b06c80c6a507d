"""Writing weights into one file that `opening.open_weights` reads again."""

import json
import pathlib
from collections.abc import Mapping

from efdet_jax.data.labels import LabelMap
from efdet_jax.structures import Tree
from efdet_jax.weights.opening import LABELS, flat_variables


def save(
    path: pathlib.Path, variables: Mapping[str, Tree], labels: LabelMap | None
) -> None:
    """Writes `params` and `batch_stats` as safetensors, by our paths.

    Args:
      path: of the file; replaced if it exists.
      variables: of a network.
      labels: its classes, if they are known.
    """
    from safetensors.numpy import save_file  # Needed by few commands.

    metadata = {LABELS: json.dumps(labels.to_json())} if labels else None
    save_file(flat_variables(variables), path, metadata=metadata)
