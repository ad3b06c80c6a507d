"""The trials of a sweep as a table for the terminal."""

import math
import sys
from collections.abc import Mapping

from efdet_jax.progress import duration
from efdet_jax.sweep.standing import Standing


class Board:
    """Shows how trials stand: redrawn in place on a terminal, else when it changes."""

    def __init__(self) -> None:
        self._lines_above = 0
        self._states: dict[str, str] = {}
        self._is_terminal = sys.stderr.isatty()

    def show(self, standings: Mapping[str, Standing]) -> None:
        """Shows the table, or who is in another state than before."""
        if self._is_terminal:
            lines = table(standings).splitlines()
            up = f"\x1b[{self._lines_above}A\x1b[J" if self._lines_above else ""
            sys.stderr.write(up + "".join(f"{line}\n" for line in lines))
            self._lines_above = len(lines)
        else:
            for name, standing in standings.items():
                if self._states.get(name) != standing.state:
                    sys.stderr.write(" ".join(row(name, standing)).rstrip() + "\n")
        sys.stderr.flush()
        self._states = {name: standing.state for name, standing in standings.items()}


HEADER = ("trial", "state", "step", "AP", "images/s", "left", "")


def row(name: str, standing: Standing) -> tuple[str, ...]:
    """Returns the cells of a trial, under `HEADER`."""
    speed, left = standing.images_per_second, standing.seconds_left
    is_running = standing.state == "running"
    return (
        name,
        standing.state,
        f"{standing.step}/{standing.steps}" if standing.steps else "-",
        "-" if math.isnan(standing.metric) else f"{standing.metric:.3f}",
        "-" if math.isnan(speed) else f"{speed:.1f}",
        duration(left) if is_running and math.isfinite(left) else "-",
        standing.reason[:70],
    )


def table(standings: Mapping[str, Standing]) -> str:
    """Returns all trials, a line each."""
    rows = [HEADER, *(row(name, standing) for name, standing in standings.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        for cells in rows
    )
    return "\n".join(line.rstrip() for line in lines)
