"""Data sets that TensorFlow Datasets has prepared as ArrayRecord.

Neither opening nor reading one imports TensorFlow.
"""

import json
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from jaxtyping import UInt8
from tensorflow_datasets.core import read_only_builder
from tensorflow_datasets.core.utils import error_utils

from efdet_jax.data.files import decode_image, image_size, read_bytes
from efdet_jax.data.flaws import Flaw
from efdet_jax.data.labels import COCO, contiguous
from efdet_jax.data.whole import whole_image
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations

_CLASS_KEYS = {"type", "pythonClassName", "python_class_name"}
_OWN_CLASSES = "tensorflow_datasets."
"""Where the classes of features stand in features.json, and which are TFDS' own."""


class Tfds:
    """One split of a prepared TFDS data set with object boxes; a `Source`.

    TFDS numbers labels 0..k-1. Where they are COCO's 80, the ids are COCO's own; for
    any other data set the id of label `j` is `j + 1`.
    """

    def __init__(self, name: str, split: str):
        """Opens the files; nothing is ever downloaded.

        Args:
          name: A TFDS name such as "coco/2017" or "voc/2012:4.0.0".
          split: A TFDS split, slices such as "train[:10%]" included.

        Raises:
          UsageError: The data set is not prepared as ArrayRecord, has no such split or
            no object boxes.
        """
        self.flaws: tuple[Flaw, ...] = ()
        self._name = name
        self._split = split
        builder = _find(name)
        _check_features(name, builder.info.features)
        self._records = _records(builder, name, split)
        names = builder.info.features["objects"]["label"].names
        is_coco = names == list(COCO.names)
        self.labels = COCO if is_coco else contiguous(dict(enumerate(names, start=1)))

    def __len__(self) -> int:
        return len(self._records)

    def title(self, i: int) -> str:
        """Names image `i`."""
        return f"tfds {self._name}, split {self._split}, image {i}"

    def encoded(self, i: int) -> bytes:
        """Reads the file that image `i` was."""
        return self._records[i]["image"]

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes image `i`, RGB."""
        return decode_image(self.encoded(i), name=self.title(i))

    def annotations(self, i: int) -> Annotations:
        """Gives the boxes of image `i`; of the image, only the header is read."""
        record = self._records[i]
        height, width = image_size(record["image"], name=self.title(i))
        objects = record["objects"]
        boxes_unit = np.array(objects["bbox"], np.float64).reshape(-1, 4)
        boxes = boxes_unit * np.array([[height, width, height, width]])
        crowd = objects.get("is_crowd", objects.get("is_difficult", ()))
        area = objects.get("area", (boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        return Annotations(
            image_id=_image_id(record, i),
            height=height,
            width=width,
            boxes=boxes,
            classes=np.array(objects["label"], np.int32),
            is_crowd=np.array(crowd, bool)
            if len(crowd)
            else np.zeros(len(boxes), bool),
            area=np.array(area, np.float64),
        )


class TfdsClasses:
    """One split of a prepared TFDS data set with a class per image; a `Source`.

    The id of label `j` is `j + 1`.
    """

    def __init__(self, name: str, split: str):
        """Opens the files; nothing is ever downloaded.

        Args:
          name: A TFDS name such as "imagenet2012" or "cifar10:3.0.2".
          split: A TFDS split, slices included.

        Raises:
          UsageError: The data set is not prepared as ArrayRecord, has no such split or
            no class per image.
        """
        self.flaws: tuple[Flaw, ...] = ()
        self._name = f"tfds {name}, split {split}"
        builder = _find(name)
        features = builder.info.features
        if not {"image", "label"} <= set(features):
            raise UsageError(
                f"tfds {name}: has no image and label where classification needs them,"
                f" only {sorted(features)}; choose a data set of classified images"
            )
        self._records = _records(builder, name, split)
        names = features["label"].names
        self.labels = contiguous(dict(enumerate(names, start=1)))

    def __len__(self) -> int:
        return len(self._records)

    def title(self, i: int) -> str:
        """Names image `i`."""
        return f"{self._name}, image {i}"

    def encoded(self, i: int) -> bytes:
        """Reads the file that image `i` was."""
        return self._records[i]["image"]

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes image `i`, RGB."""
        return decode_image(self.encoded(i), name=self.title(i))

    def annotations(self, i: int) -> Annotations:
        """Gives the class of image `i`; of the image, only the header is read."""
        record = self._records[i]
        size = image_size(record["image"], name=self.title(i))
        return whole_image(i, *size, int(record["label"]))


def _records(builder: tfds.core.DatasetBuilder, name: str, split: str) -> Any:
    """Opens the records of a split, images left encoded."""
    try:
        return builder.as_data_source(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}
        )
    except ValueError as error:
        splits = ", ".join(builder.info.splits)
        raise UsageError(
            f"tfds {name}: has no split {split!r}; those that exist: {splits}"
        ) from error
    except NotImplementedError as error:
        raise UsageError(
            f"tfds {name}: is prepared as {builder.info.file_format}, which has no"
            f" random access; run: {_build_command(name)}"
        ) from error


def _find(name: str) -> tfds.core.DatasetBuilder:
    # `tfds.builder` would run the data set's own code, which imports TensorFlow.
    try:
        with error_utils.reraise_with_context(ValueError):
            folder = read_only_builder._find_builder_dir(name)
    except ValueError:
        folder = None
    if folder is None:
        raise UsageError(
            f"tfds {name}: no such data set is prepared; run: {_build_command(name)}"
            " (TFDS_DATA_DIR names the folder if it is not ~/tensorflow_datasets)"
        )
    _check_classes(folder / "features.json")
    try:
        return read_only_builder.builder_from_directory(folder)
    # Nobody lists what TFDS raises on files that it has not written.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(
            f"tfds {name}: {folder} is damaged ({reason}); prepare it again:"
            f" {_build_command(name)}"
        ) from error


def _check_classes(path: epath.Path) -> None:
    """Checks that a description of features names classes of TFDS only.

    TFDS imports whatever module is named there, and importing runs it.

    Raises:
      UsageError: It names others, or is no JSON.
    """
    try:
        waiting = [json.loads(read_bytes(path))]
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is not JSON ({error}); is it whole?") from error
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key in _CLASS_KEYS & value.keys():
                class_ = value[key]
                if isinstance(class_, str) and not class_.startswith(_OWN_CLASSES):
                    raise UsageError(
                        f"{path}: names the Python class {class_!r}, which opening"
                        " would import, and only TFDS' own are; prepare the data set"
                        " with these"
                    )
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _build_command(name: str) -> str:
    return f"tfds build {name} --file_format=array_record"


def _check_features(name: str, features: Any) -> None:
    objects = features["objects"].feature if "objects" in features else {}
    for feature, where in (("image", features), ("bbox", objects), ("label", objects)):
        if feature not in where:
            raise UsageError(
                f"tfds {name}: has no feature {feature!r} where detection needs it"
                f" (image, objects/bbox, objects/label), only {sorted(features)};"
                " choose a detection data set"
            )


def _image_id(record: dict[str, Any], i: int) -> int | str:
    """TFDS names it image/id in COCO and image/filename in VOC; some have neither."""
    id_ = record.get("image/id", record.get("image/filename", i))
    return id_.decode() if isinstance(id_, bytes) else int(id_)
