"""Running a network over a whole data set, each image once."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from efdet_jax import mesh as meshes
from efdet_jax.structures import Tree

PredictStep = Callable[[Tree, Any], Any]
"""(variables, batch) → prediction, a record with the batch's `image_index`."""


def compiled(predict: PredictStep, mesh: Mesh) -> PredictStep:
    """Returns `predict` for batches that are split over the devices.

    Results come back whole on each of them, whatever the mesh.
    """
    everywhere = meshes.everywhere(mesh)
    return jax.jit(
        predict,
        in_shardings=(everywhere, meshes.split(mesh)),
        out_shardings=everywhere,
    )


def predictions(
    predict_step: PredictStep,
    variables: Tree,
    batches: Iterable[Any],
    mesh: Mesh,
    *,
    num_images: int,
) -> Iterator[tuple[Any, Any, list[int]]]:
    """Yields (batch, prediction, rows of it that are images) over a whole data set.

    A batch has this host's images, a prediction those of all hosts; the rows of process
    0 come first there. The other rows only fill the last batch.

    Args:
      predict_step: from `compiled`.
      variables: `params` and `batch_stats`.
      batches: all images once.
      mesh: the devices.
      num_images: of the data set.

    Raises:
      RuntimeError: after the last one, if an image did not come exactly once.
    """
    times_seen = np.zeros(num_images, int)
    for batch in batches:
        placed = meshes.place_batch(batch, mesh)
        prediction = jax.device_get(predict_step(variables, placed))
        rows = np.flatnonzero(prediction.image_index >= 0)
        np.add.at(times_seen, prediction.image_index[rows], 1)
        yield batch, prediction, rows.tolist()
    if (times_seen != 1).any():
        raise RuntimeError(
            f"images not seen exactly once: {np.flatnonzero(times_seen != 1)}"
        )
