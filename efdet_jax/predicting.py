"""Running a network over a whole data set, each image once."""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from efdet_jax import mesh as meshes
from efdet_jax.structures import Tree


class Predicted(NamedTuple):
    """A batch of a data set, and what the network says of it."""

    batch: Any
    """This host's images."""
    prediction: Any
    """Of the images of all hosts, those of process 0 first."""
    rows: list[int]
    """Of the prediction that are images; the others only fill the last batch."""
    milliseconds: float
    """Per image of the global batch, from here to the devices and back."""


PredictStep = Callable[[Tree, Any], Any]
"""(variables, batch) → prediction, a record with the batch's `image_index`."""


def compiled(predict: PredictStep, mesh: Mesh) -> PredictStep:
    """Returns `predict` for batches that are split over the devices.

    Results come back whole on each of them, whatever the mesh.
    """
    everywhere = meshes.everywhere(mesh)
    return jax.jit(
        predict,
        in_shardings=(everywhere, None),  # A batch is laid out already.
        out_shardings=everywhere,
    )


def predictions(
    predict_step: PredictStep,
    variables: Tree,
    batches: Iterable[Any],
    mesh: Mesh,
    *,
    num_images: int,
) -> Iterator[Predicted]:
    """Yields all batches of a data set with what the network says of them.

    Args:
      predict_step: from `compiled`.
      variables: `params` and `batch_stats`, on the host.
      batches: all images once.
      mesh: the devices.
      num_images: of the data set.

    Raises:
      RuntimeError: after the last one, if an image did not come exactly once.
    """
    times_seen = np.zeros(num_images, int)
    variables = meshes.place_everywhere(variables, mesh)
    for batch in batches:
        placed = meshes.place_batch(batch, mesh)
        start = time.perf_counter()
        prediction = jax.device_get(predict_step(variables, placed))
        seconds = time.perf_counter() - start
        rows = np.flatnonzero(prediction.image_index >= 0)
        np.add.at(times_seen, prediction.image_index[rows], 1)
        milliseconds = 1e3 * seconds / len(prediction.image_index)
        yield Predicted(batch, prediction, rows.tolist(), milliseconds)
    if (times_seen != 1).any():
        raise RuntimeError(
            f"images not seen exactly once: {np.flatnonzero(times_seen != 1)}"
        )


def latency(milliseconds: Sequence[float]) -> dict[str, float]:
    """Returns the median time per image; the first batch compiled and does not count.

    Args:
      milliseconds: of every batch, see `Predicted`.
    """
    counted = milliseconds[1:]
    return {"latency_ms": statistics.median(counted) if counted else math.nan}
