"""Which images this process is reading, so that one that never comes can be named."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from efdet_jax.data.source import Source


class _Reading(NamedTuple):
    source: Source
    i: int
    since: float


_READINGS: dict[int, _Reading] = {}
"""By the thread that reads."""


@contextlib.contextmanager
def reading(source: Source, i: int) -> Iterator[None]:
    """Notes that the calling thread reads image `i` of a data set."""
    thread = threading.get_ident()
    _READINGS[thread] = _Reading(source, i, time.monotonic())
    try:
        yield
    finally:
        del _READINGS[thread]


def read_for(seconds: float) -> list[str]:
    """Names the images that have been read for so long, the longest first."""
    now = time.monotonic()
    readings = sorted(_READINGS.values(), key=lambda one: one.since)
    return [
        f"{one.source.title(one.i)} has been read for {now - one.since:.0f} s"
        for one in readings
        if now - one.since >= seconds
    ]
