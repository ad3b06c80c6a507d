"""What a person reads on the terminal: a table on stdout, all else on stderr."""

import pathlib
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from efdet_jax.inference.annotating import Annotated
from efdet_jax.inference.detector import LoadedDetector
from efdet_jax.progress import Bar

_SHOWN_CLASSES = 4


class Teller:
    """Tells of one command, from its first file to its last."""

    def __init__(self) -> None:
        self.bar = Bar()
        self.num_refused = 0
        self._num_images = 0
        self._start = time.monotonic()
        self._width = 0

    def refuse(self, reason: str) -> None:
        """Tells why a file is left out."""
        self.num_refused += 1
        self.bar.clear()
        sys.stderr.write(f"error: {reason}\n")

    def begin(
        self, titles: Iterable[str], detector: LoadedDetector, origin: str
    ) -> None:
        """Compiles the detector, tells of it, and starts the table and the clock."""
        start = time.monotonic()
        blank = np.zeros((detector.batch_size, *detector.image_size, 3), np.uint8)
        np.asarray(detector.infer(blank).scores)
        height, width = detector.image_size
        sys.stderr.write(
            f"{origin}: {detector.labels.num_classes} classes, input {height} x {width}"
            f", ready after {time.monotonic() - start:.1f} s\n"
        )
        self._width = max(map(len, titles))
        self._write("file", "images", "found", "best")
        self._start = time.monotonic()

    def row(self, annotated: Annotated) -> None:
        """Writes a line of the table."""
        self._num_images += annotated.num_images
        count = sum(map(len, annotated.scores.values()))
        self.bar.clear()
        self._write(
            annotated.title,
            str(annotated.num_images),
            str(count),
            best_classes(annotated.scores),
        )

    def end(self, out: pathlib.Path) -> None:
        """Ends the table with the speed, reading and writing included."""
        self.bar.clear()
        seconds = time.monotonic() - self._start
        speed = self._num_images / seconds
        sys.stdout.write(
            f"{self._num_images} images in {seconds:.1f} s, {speed:.1f} images/s, "
            f"reading, drawing and writing included\nout  {out}\n"
        )

    def _write(self, title: str, *cells: str) -> None:
        images, found, best = cells
        line = f"{title:<{self._width}}  {images:>6}  {found:>5}  {best}"
        sys.stdout.write(f"{line.rstrip()}\n")
        sys.stdout.flush()


def best_classes(scores: Mapping[str, Sequence[float]]) -> str:
    """Returns classes with their best score, and how often they are there: best first.

    Args:
      scores: by the name of the class.
    """
    order = sorted(scores, key=lambda name: -max(scores[name]))
    cells = []
    for name in order[:_SHOWN_CLASSES]:
        count = len(scores[name])
        times = f" x{count}" if count > 1 else ""
        cells.append(f"{name} {max(scores[name]):.2f}{times}")
    more = len(order) - len(cells)
    return ", ".join(cells) + (f" and {more} more classes" if more else "")
