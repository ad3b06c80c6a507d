"""Going through a data set image by image."""

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from efdet_jax.data.sound import read_sound
from efdet_jax.data.source import Source
from efdet_jax.errors import UsageError
from efdet_jax.inspection.look import Look, look
from efdet_jax.structures import Annotations


class Record(NamedTuple):
    """What was found of one image."""

    index: int
    """In the data set."""
    title: str
    annotations: Annotations | None
    """None where they cannot be given, as of a YOLO image of unknown size."""
    look: Look | None
    """None where the image is broken."""
    error: str
    """Why it is; empty if it is not."""


def survey(
    source: Source, indices: Iterable[int], *, num_threads: int
) -> Collection[Record]:
    """Reads and decodes images of a data set.

    Args:
      source: the data set.
      indices: which images.
      num_threads: that decode.
    """

    def record(i: int) -> Record:
        annotations = None
        try:
            annotations = source.annotations(i)
            image, _ = read_sound(source, i)
            seen = look(source.encoded(i), image)
        except UsageError as error:
            return Record(i, source.title(i), annotations, None, str(error))
        return Record(i, source.title(i), annotations, seen, "")

    with ThreadPoolExecutor(max(1, num_threads)) as pool:
        return list(pool.map(record, indices))
