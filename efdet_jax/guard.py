"""What training does about a loss or a gradient that is not finite.

The step itself leaves everything as it was (`train_step`); here it is told of, and too
many such steps in a row end the run.
"""

import logging
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from efdet_jax.errors import Diverged
from efdet_jax.structures import Batch, LabelledBatch

_LOG = logging.getLogger(__name__)


class Taken(NamedTuple):
    """A step that the devices have, or will have, done."""

    step: int
    batch: Batch | LabelledBatch
    """This host's share."""
    metrics: dict[str, jax.Array]


class Guard:
    """Looks at the steps of a run, one after the other."""

    def __init__(
        self,
        *,
        most: int,
        skipped_before: int,
        parts: int,
        image_id: Callable[[int], int | str],
    ):
        """Begins to count.

        Args:
          most: steps in a row that may be skipped.
          skipped_before: how many the state before the first step has counted.
          parts: that a step sees its batch in.
          image_id: of an image of the training data, by its position.
        """
        self._most = most
        self._skipped = skipped_before
        self._parts = parts
        self._in_a_row = 0
        self._image_id = image_id

    def look(self, taken: Taken) -> None:
        """Waits for a step, and tells of it if its update was skipped.

        Raises:
          Diverged: one more in a row than may be.
        """
        skipped = int(taken.metrics["skipped_steps"])
        if skipped == self._skipped:
            self._in_a_row = 0
            return
        self._skipped = skipped
        self._in_a_row += 1
        values = {name: float(v) for name, v in jax.device_get(taken.metrics).items()}
        wrong = ", ".join(n for n, v in values.items() if not math.isfinite(v))
        images = self._images(np.asarray(taken.batch.image_index), values)
        told = f"{wrong} not finite at step {taken.step}, images {images}"
        _LOG.warning("%s: its update was skipped, %d so far", told, skipped)
        if self._in_a_row > self._most:
            raise Diverged(
                f"{self._in_a_row} steps in a row came to no finite loss and gradient "
                f"(the last: {told}): lower --config.optimizer.learning_rate and start "
                "in a new --workdir, or see where it happens with --mode=replay"
            )

    def _images(self, positions: np.ndarray, values: Mapping[str, float]) -> str:
        """Names the first images of a batch, or of the part of it that went wrong."""
        part = int(values.get("part_not_finite", -1))
        if part >= 0:
            positions = positions[part :: self._parts]
        shown = [str(self._image_id(int(i))) for i in positions[:8] if i >= 0]
        return ", ".join(shown) + (", ..." if len(positions) > len(shown) else "")
