"""Writing a detector in several formats, each run again and held to the model."""

import logging
import pathlib
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from efdet_jax.exporting.comparing import TOLERANCE, Difference, difference
from efdet_jax.exporting.formats import Format
from efdet_jax.exporting.program import Detect, Program
from efdet_jax.pages.tables import Table
from efdet_jax.structures import Detections

_LOG = logging.getLogger(__name__)

Samples = Sequence[UInt8[np.ndarray, "h w 3"]]
"""Images of the network's size."""


class Exported(NamedTuple):
    """A file that was written, and how it compares with the model."""

    name: str
    path: pathlib.Path
    num_bytes: int
    difference: Difference
    milliseconds: float
    """Per image, one at a time."""
    model_milliseconds: float

    @property
    def is_right(self) -> bool:
        """Whether what it finds differs by rounding alone."""
        return self.difference.is_within(TOLERANCE)


def export(
    program: Program,
    model: Detect,
    images: Samples,
    chosen: Mapping[str, Format],
    out: pathlib.Path,
    *,
    metadata: dict[str, Any],
    score_threshold: float,
) -> list[Exported]:
    """Writes a detector; a file that finds something else than the model is removed.

    Args:
      program: the detector.
      model: what files are compared with.
      images: on which.
      chosen: formats by name.
      out: an existing folder.
      metadata: of `metadata.metadata`.
      score_threshold: of the detector's post-processing.
    """
    expected, model_milliseconds = _run(model, images)
    rows = []
    for name, row in chosen.items():
        path = out / row.file
        _LOG.info("writing %s", path)
        row.write(program, path, metadata)
        found, milliseconds = _run(row.load(path), images)
        rows.append(
            Exported(
                name,
                path,
                _num_bytes(path),
                difference(expected, found, score_threshold=score_threshold),
                milliseconds,
                model_milliseconds,
            )
        )
        if not rows[-1].is_right:
            _remove(path)
    return rows


def table(rows: Sequence[Exported]) -> Table:
    """Returns what a person wants to see of the files."""
    header = ("format", "file", "MB", "pairs", "alone", "boxes, px", "scores")
    cells = [
        (
            row.name,
            str(row.path),
            f"{row.num_bytes / 1e6:.1f}",
            str(row.difference.num_compared),
            str(row.difference.num_alone),
            f"{row.difference.boxes:.1e}" if row.difference.num_compared else "-",
            f"{row.difference.scores:.1e}",
            f"{row.milliseconds:.0f}",
            f"{row.model_milliseconds:.0f}",
            "same" if row.is_right else "differs: removed",
        )
        for row in rows
    ]
    return Table((*header, "ms", "ms here", "verdict"), tuple(cells), texts=2)


def _run(detect: Detect, images: Samples) -> tuple[Detections, float]:
    """Returns what is found in all images, and the median time per image."""
    detect(images[0][None])  # Compiles.
    found, milliseconds = [], []
    for image in images:
        start = time.perf_counter()
        found.append([np.asarray(part) for part in detect(image[None])])
        milliseconds.append(1e3 * (time.perf_counter() - start))
    together = map(np.concatenate, zip(*found, strict=True))
    return Detections(*together), statistics.median(milliseconds)


def _num_bytes(path: pathlib.Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
