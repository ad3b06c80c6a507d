"""How the classes of the network correspond to the class ids of a data set."""

from collections.abc import Mapping
from typing import NamedTuple

from efdet_jax.errors import UsageError


class LabelMap(NamedTuple):
    """Network class `i` is the data set's class `ids[i]`, called `names[i]`."""

    ids: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """The number of classes that the network tells apart."""
        return len(self.ids)

    def index_of(self) -> dict[int, int]:
        """Maps each id of the data set to its network class."""
        return {id_: index for index, id_ in enumerate(self.ids)}


def label_map(categories: Mapping[int, str], num_classes: int) -> LabelMap:
    """Numbers the categories: `contiguous` if `num_classes` is 0, else `published`.

    Raises:
      UsageError: `num_classes` is not 0 and an id lies outside 1..num_classes.
    """
    return published(categories, num_classes) if num_classes else contiguous(categories)


def contiguous(categories: Mapping[int, str]) -> LabelMap:
    """Gives every category of a data set one network class, in order of id.

    Args:
      categories: The data set's class ids, which may have gaps, and their names.
    """
    ids = tuple(sorted(categories))
    return LabelMap(ids, tuple(categories[id_] for id_ in ids))


def published(categories: Mapping[int, str], num_classes: int) -> LabelMap:
    """Gives id `i` the network class `i - 1`, as the published weights do.

    COCO numbers its 80 classes 1..90 with gaps, so the published networks have 90
    classes, ten of which never occur. Those are named "unused 12" and so on.

    Args:
      categories: The data set's class ids, in 1..num_classes, and their names.
      num_classes: The classes of the network, unused ones included.

    Raises:
      UsageError: An id lies outside 1..num_classes.

    Source: google/automl, efficientdet/object_detection/tf_example_decoder.py and
      hparams_config.py (`num_classes = 90`, network class = id - 1).
    """
    outside = [id_ for id_ in sorted(categories) if not 1 <= id_ <= num_classes]
    if outside:
        raise UsageError(
            f"class id {outside[0]} ({categories[outside[0]]!r}) lies outside"
            f" 1..{num_classes}; set num_classes to 0 to number the classes without"
            " gaps, or to the largest id"
        )
    ids = tuple(range(1, num_classes + 1))
    return LabelMap(ids, tuple(categories.get(id_, f"unused {id_}") for id_ in ids))
