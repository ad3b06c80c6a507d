"""Data sets that TensorFlow Datasets has prepared as ArrayRecord.

Neither opening nor reading one imports TensorFlow.
"""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from tensorflow_datasets.core import read_only_builder

from efdet_jax.data.files import decode_image, image_size
from efdet_jax.data.labels import label_map
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations

# fmt: off
COCO_CATEGORIES = {
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
}
# fmt: on
"""COCO's own ids, which TFDS replaces by 0..79 in the same order."""


class Tfds:
    """One split of a prepared TFDS data set with object boxes; a `Source`.

    Network classes come from COCO's own ids if the labels are COCO's 80; for any other
    data set the id of TFDS label `j` is `j + 1`.
    """

    def __init__(self, name: str, split: str, num_classes: int):
        """Opens the files; nothing is ever downloaded.

        Args:
          name: A TFDS name such as "coco/2017" or "voc/2012:4.0.0".
          split: A TFDS split, slices such as "train[:10%]" included.
          num_classes: 0 numbers the classes without gaps; otherwise network class =
            id - 1, as in the published weights (90 for COCO).

        Raises:
          UsageError: The data set is not prepared as ArrayRecord, has no such split or
            no object boxes, or an id lies outside 1..num_classes.
        """
        self._name = name
        self._split = split
        builder = _find(name)
        _check_features(name, builder.info.features)
        try:
            self._records = builder.as_data_source(
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
        names = builder.info.features["objects"]["label"].names
        is_coco = names == list(COCO_CATEGORIES.values())
        categories = COCO_CATEGORIES if is_coco else dict(enumerate(names, start=1))
        self.labels = label_map(categories, num_classes)
        index_of = self.labels.index_of()
        self._class_of_label = np.array([index_of[id_] for id_ in categories], np.int32)

    def __len__(self) -> int:
        return len(self._records)

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes image `i`, RGB."""
        return decode_image(self._records[i]["image"], name=self._title(i))

    def annotations(self, i: int) -> Annotations:
        """Gives the boxes of image `i`; of the image, only the header is read."""
        record = self._records[i]
        height, width = image_size(record["image"], name=self._title(i))
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
            classes=self._class_of_label[np.array(objects["label"], np.int64)],
            is_crowd=np.array(crowd, bool)
            if len(crowd)
            else np.zeros(len(boxes), bool),
            area=np.array(area, np.float64),
        )

    def _title(self, i: int) -> str:
        return f"tfds {self._name}, split {self._split}, image {i}"


def _find(name: str) -> tfds.core.DatasetBuilder:
    # `tfds.builder` would run the data set's own code, which imports TensorFlow.
    try:
        return read_only_builder.builder_from_files(name)
    except ValueError as error:
        raise UsageError(
            f"tfds {name}: no such data set is prepared; run: {_build_command(name)}"
            " (TFDS_DATA_DIR names the folder if it is not ~/tensorflow_datasets)"
        ) from error


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
