"""How far a run is and where its time goes, for the terminal and the log."""

import math
import resource
import sys
import time
from collections.abc import Iterator, Mapping

from efdet_jax.structures import Batch, LabelledBatch


class Clock:
    """Where the time of the steps since the last report went."""

    def __init__(self, seconds_before: float):
        self._start = time.monotonic() - seconds_before
        self.restart()

    def restart(self) -> None:
        """Begins an interval; evaluation and compilation lie between intervals."""
        self._interval_start = time.monotonic()
        self._steps = 0
        self._waited = 0.0

    def next_batch(
        self, batches: Iterator[Batch | LabelledBatch]
    ) -> Batch | LabelledBatch:
        """Returns the next batch and counts how long it took to come."""
        before = time.monotonic()
        batch = next(batches)
        self._waited += time.monotonic() - before
        self._steps += 1
        return batch

    def report(self, batch_size: int) -> dict[str, float]:
        """Returns the speed of the interval, the share of waiting, host memory.

        The speed is not a number where the interval has no step: the first of a run
        compiles and is not counted.
        """
        elapsed = time.monotonic() - self._interval_start
        speed = self._steps * batch_size / elapsed if self._steps else math.nan
        return {
            "images_per_second": speed,
            "input_wait_share": self._waited / elapsed,
            "host_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }

    def seconds(self) -> float:
        """Returns the seconds of the whole run, earlier parts of it included."""
        return time.monotonic() - self._start


class Progress:
    """One line on the terminal that says how far a run is."""

    def __init__(self, total_steps: int):
        self._total = total_steps
        self._start: tuple[float, int] | None = None
        self._is_terminal = sys.stderr.isatty()

    def first_step(self, seconds: float) -> None:
        """Says that compilation is over."""
        self._write(f"first step after {seconds:.1f} s, compilation included", "\n")

    def show(self, step: int, loss: float, images_per_second: float) -> None:
        """Shows the state of training, and the time left at the mean speed so far."""
        now = time.monotonic()
        if self._start is None:
            self._start = now, step
        started, first = self._start
        steps_per_second = (step - first) / max(now - started, 1e-9)
        left = (
            duration((self._total - step) / steps_per_second) if step > first else "?"
        )
        self._write(
            f"step {step}/{self._total}  loss {loss:.4f}  "
            f"{images_per_second:.1f} images/s  {left} left",
            "\r" if self._is_terminal and step < self._total else "\n",
        )

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows figures of an evaluation."""
        shown = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        self._write(f"step {step}/{self._total}  {shown}", "\n")

    def _write(self, line: str, end: str) -> None:
        sys.stderr.write(f"{line:<78}{end}")
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """Returns a duration such as 2d 03:04:05."""
    days, rest = divmod(int(seconds), 86400)
    clock = time.strftime("%H:%M:%S", time.gmtime(rest))
    return f"{days}d {clock}" if days else clock


class Bar:
    """A bar that says how many of some things are done; nothing but on a terminal."""

    _WIDTH = 30

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()

    def show(self, what: str, done: int, total: int) -> None:
        """Draws the bar.

        Args:
          what: what is counted.
          done: how many of them.
          total: of all; 0 if nobody knows.
        """
        share = min(done / total, 1.0) if total else 0.0
        full = "#" * round(share * self._WIDTH)
        count = f"{done}/{total}" if total else f"{done}"
        self._write(f"[{full:.<{self._WIDTH}}] {what} {count}")

    def clear(self) -> None:
        """Removes the bar, so that a line can be written."""
        self._write("")

    def _write(self, line: str) -> None:
        if self._is_terminal:
            sys.stderr.write(f"\r{line}\033[K")
            sys.stderr.flush()
