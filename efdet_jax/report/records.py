"""What a workdir holds of a run, read back."""

import json
import math
import pathlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from efdet_jax.data.labels import LabelMap
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations, SplitDetections


class Series(NamedTuple):
    """A logged scalar."""

    steps: Int[np.ndarray, " _"]
    values: Float[np.ndarray, " _"]
    """NaN where it was no number."""


def read_object(path: pathlib.Path) -> dict[str, Any]:
    """Returns a file of JSON; nothing where it is missing, or half written."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_log(path: pathlib.Path) -> dict[str, Series]:
    """Returns the scalars of a `metrics.jsonl` by name, without damaged lines."""
    logged: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            values = json.loads(line)
            step = values.pop("step")
        # The last line of a run that goes on, or was killed.
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        for name, value in values.items():
            logged[name].append((step, math.nan if value is None else value))
    return {name: _series(pairs) for name, pairs in logged.items()}


def _series(pairs: Sequence[tuple[int, float]]) -> Series:
    steps, values = zip(*pairs, strict=True)
    return Series(np.array(steps, int), np.array(values, float))


def read_detections(
    path: pathlib.Path, annotations: Collection[Annotations], labels: LabelMap
) -> SplitDetections:
    """Returns what a run has found in its validation data.

    Args:
      path: of a COCO results file.
      annotations: of every image.
      labels: of the network.

    Raises:
      UsageError: there is no such file, it is damaged, or it is of other images or
        classes.
    """
    index = {each.image_id: i for i, each in enumerate(annotations)}
    class_of = labels.index_of()
    try:
        rows = json.loads(path.read_text())
        if not isinstance(rows, list):
            raise TypeError("it is no list")
        x, y, width, height = (
            np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4).T
        )
        return SplitDetections(
            image_index=np.array([index[row["image_id"]] for row in rows], int),
            boxes=np.stack([y, x, y + height, x + width], axis=1),
            scores=np.array([row["score"] for row in rows], np.float64),
            classes=np.array([class_of[row["category_id"]] for row in rows], int),
        )
    except FileNotFoundError as error:
        raise UsageError(
            f"{path} is missing: a run writes it at its end, and --mode=eval as well"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is damaged, or of other data ({error!r}): write it again with "
            "--mode=eval"
        ) from error
