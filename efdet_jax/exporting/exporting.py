"""Writing a detector in several formats, each run again and held to the model."""

import logging
import math
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
    """What became of one format: a file, and how it compares with the model."""

    name: str
    path: pathlib.Path
    num_bytes: int
    difference: Difference | None
    """None where the detector could not be converted, or what came of it not run."""
    milliseconds: float
    """Per image, one at a time."""
    model_milliseconds: float
    refusal: str = ""
    """What the format's own tool said then, in a line."""

    @property
    def is_right(self) -> bool:
        """Whether what it finds differs by rounding alone."""
        return self.difference is not None and self.difference.is_within(TOLERANCE)

    @property
    def verdict(self) -> str:
        """What a table says of it."""
        if self.difference is None:
            return "not converted"
        return "same" if self.is_right else "differs: removed"


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

    So is what a format's tool leaves that cannot convert it, or run it afterwards.

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
        try:
            row.write(program, path, metadata)
            found, milliseconds = _run(row.load(path), images)
        # Nobody lists what these tools, most of them in C++, raise.
        except Exception as error:
            _LOG.debug("converting to %s failed", name, exc_info=True)
            said = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            compared, num_bytes, milliseconds = None, 0, math.nan
        else:
            said, num_bytes = "", _num_bytes(path)
            compared = difference(expected, found, score_threshold=score_threshold)
        rows.append(
            Exported(
                name, path, num_bytes, compared, milliseconds, model_milliseconds, said
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
            *_figures(row),
            f"{row.model_milliseconds:.0f}",
            row.verdict,
        )
        for row in rows
    ]
    return Table((*header, "ms", "ms here", "verdict"), tuple(cells), texts=2)


def _figures(row: Exported) -> tuple[str, ...]:
    if row.difference is None:
        return ("-",) * 6
    boxes, scores, num_compared, num_alone = row.difference
    return (
        f"{row.num_bytes / 1e6:.1f}",
        str(num_compared),
        str(num_alone),
        f"{boxes:.1e}" if num_compared else "-",
        f"{scores:.1e}",
        f"{row.milliseconds:.0f}",
    )


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
        path.unlink(missing_ok=True)
