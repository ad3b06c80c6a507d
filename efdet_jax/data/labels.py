"""Which classes there are: of a data set, of a network, and which is which."""

import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from efdet_jax.errors import UsageError


class LabelMap(NamedTuple):
    """Class `i` has the id `ids[i]` outside this package and is called `names[i]`."""

    ids: tuple[int | str, ...]
    names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """The number of classes, those that never occur included."""
        return len(self.ids)

    def index_of(self) -> dict[int | str, int]:
        """Maps each id to its class."""
        return {id_: index for index, id_ in enumerate(self.ids)}

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` takes, also after a way through JSON."""
        return {"ids": list(self.ids), "names": list(self.names)}

    @classmethod
    def from_json(cls, document: Any, *, where: object) -> Self:
        """Returns the labels that `to_json` wrote.

        Args:
          document: what it wrote, or anything else that JSON holds.
          where: the file that it is from, for an error.

        Raises:
          UsageError: it is something else.
        """
        match document:
            case {"ids": list(ids), "names": list(names)} if (
                len(ids) == len(names)
                and all(isinstance(id_, int | str) for id_ in ids)
                and all(isinstance(name, str) for name in names)
            ):
                return cls(tuple(ids), tuple(names))
        raise UsageError(
            f"{where}: holds no ids and names of classes where they should be; bring it"
            " back from a copy"
        )


def class_names(values: Sequence[object], where: object) -> tuple[str, ...]:
    """Returns the names of a data set's classes as text.

    Args:
      values: words or numbers.
      where: what holds them, for an error.

    Raises:
      UsageError: one is neither, or half a character, which JSON and YAML can spell
        but nothing can write.
    """
    for value in values:
        is_name = isinstance(value, str | int | float)
        if not is_name or any("\ud800" <= c <= "\udfff" for c in str(value)):
            raise UsageError(
                f"{where}: {reprlib.repr(value)} is no name of a class; correct it"
            )
    return tuple(map(str, values))


def contiguous(categories: Mapping[Any, str]) -> LabelMap:
    """Gives every category of a data set one class, in order of id.

    Args:
      categories: The data set's class ids, which may have gaps, and their names.
    """
    # Numbers and words have no order among each other.
    ids = tuple(sorted(categories, key=lambda id_: (isinstance(id_, str), id_)))
    return LabelMap(ids, tuple(categories[id_] for id_ in ids))


def network_labels(data: LabelMap, num_classes: int) -> LabelMap:
    """Returns the classes of the network that a config asks for.

    Args:
      data: The classes of the training data.
      num_classes: 0 for those of the data; 80 or 90 for COCO's, see
        `labels_of_predictor`; any other number makes id `i` the class `i - 1`, and
        calls those that the data has not "unused 12" and so on.

    Raises:
      UsageError: An id of the data lies outside 1..num_classes.
    """
    if not num_classes:
        return data
    return labels_of_predictor(num_classes) or _numbered(data, num_classes)


def labels_of_predictor(num_classes: int) -> LabelMap | None:
    """Returns the classes of published weights, which do not say them; None if unknown.

    COCO numbers its 80 classes 1..90 with gaps. The networks of google/automl and
    effdet have an output for each number, ten of which never occur; others have 80.

    Source: google/automl, efficientdet/object_detection/tf_example_decoder.py and
      hparams_config.py (`num_classes = 90`, network class = id - 1).
    """
    return {80: COCO, 90: _numbered(COCO, 90)}.get(num_classes)


def correspondence(data: LabelMap, network: LabelMap) -> tuple[int | None, ...]:
    """Finds the class of the network for each class of a data set.

    If the network has every (id, name) of the data, those decide. Otherwise ids mean
    something else there, and names decide: without case, spaces, underscores and
    hyphens, and with VOC's words for COCO's (`SYNONYMS`). Two classes of the data may
    thus become one of the network.

    Returns:
      For each class of the data its class in the network, None where it has none.

    Raises:
      UsageError: The name of a class of the data fits several of the network.
    """
    row_of = {pair: row for row, pair in enumerate(zip(*network, strict=True))}
    same = tuple(row_of.get(pair) for pair in zip(*data, strict=True))
    if None not in same:
        return same
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(network.names):
        rows_of.setdefault(_key(name), []).append(row)
    found = [rows_of.get(_key(name), []) for name in data.names]
    for name, rows in zip(data.names, found, strict=True):
        if len(rows) > 1:
            fitting = " and ".join(repr(network.names[row]) for row in rows)
            raise UsageError(
                f"class {name!r} of the data fits several classes of the network:"
                f" {fitting}; give each class a name of its own"
            )
    return tuple(rows[0] if rows else None for rows in found)


def _numbered(labels: LabelMap, num_classes: int) -> LabelMap:
    """Gives id `i` the class `i - 1`."""
    ids = tuple(range(1, num_classes + 1))
    names = dict(zip(*labels, strict=True))
    outside = [id_ for id_ in names if id_ not in ids]
    if outside:
        raise UsageError(
            f"class id {outside[0]} ({names[outside[0]]!r}) lies outside"
            f" 1..{num_classes}; set config.model.num_classes to 0 to number the"
            " classes without gaps, or to the largest id"
        )
    return LabelMap(ids, tuple(names.get(id_, f"unused {id_}") for id_ in ids))


def _key(name: str) -> str:
    """What is left of a name when it is compared with others."""
    bare = re.sub(r"[\s_-]", "", name).casefold()
    return SYNONYMS.get(bare, bare)


SYNONYMS = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""VOC's words for four of COCO's classes; its other sixteen are spelt as COCO's."""

# fmt: off
COCO = contiguous({
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus",
    7: "train", 8: "truck", 9: "boat", 10: "traffic light", 11: "fire hydrant",
    13: "stop sign", 14: "parking meter", 15: "bench", 16: "bird", 17: "cat",
    18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear",
    24: "zebra", 25: "giraffe", 27: "backpack", 28: "umbrella", 31: "handbag",
    32: "tie", 33: "suitcase", 34: "frisbee", 35: "skis", 36: "snowboard",
    37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove",
    41: "skateboard", 42: "surfboard", 43: "tennis racket", 44: "bottle",
    46: "wine glass", 47: "cup", 48: "fork", 49: "knife", 50: "spoon", 51: "bowl",
    52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli",
    57: "carrot", 58: "hot dog", 59: "pizza", 60: "donut", 61: "cake", 62: "chair",
    63: "couch", 64: "potted plant", 65: "bed", 67: "dining table", 70: "toilet",
    72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard",
    77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink",
    82: "refrigerator", 84: "book", 85: "clock", 86: "vase", 87: "scissors",
    88: "teddy bear", 89: "hair drier", 90: "toothbrush",
})
# fmt: on
"""COCO's 80 classes with its own ids."""
