"""COCO annotation files, read in place."""

import gc
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from efdet_jax.data.files import image_size, read_bytes, read_image
from efdet_jax.data.labels import LabelMap, contiguous
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations


class _Columns(NamedTuple):
    """A file in arrays; the boxes of image `i` are rows `start[i]:start[i + 1]`."""

    ids: list[int | str]
    file_names: list[str]
    sizes: Int[np.ndarray, "i 2"]
    """Height and width; 0 where the file does not say."""
    start: Int[np.ndarray, " j"]
    boxes: Float[np.ndarray, "n 4"]
    classes: Int[np.ndarray, " n"]
    is_crowd: Bool[np.ndarray, " n"]
    area: Float[np.ndarray, " n"]


class Coco:
    """The images and boxes of one COCO JSON file; a `Source`.

    Boxes and areas keep the double precision of the file, so that evaluation sees the
    numbers that pycocotools would see.
    """

    def __init__(
        self,
        annotations_json: pathlib.Path | str,
        images_folder: pathlib.Path | str,
    ) -> None:
        """Reads the annotations and looks for the first image.

        Args:
          annotations_json: The file, with "images", "annotations" and "categories".
          images_folder: Where the images are that "file_name" names.

        Raises:
          UsageError: A file, folder or key is missing, or an id is used but not defined
            or defined twice.
        """
        self._folder = pathlib.Path(images_folder)
        # The collector would search the millions of objects of a file like COCO's
        # training set again and again: 17 s of parsing become 6 s without it.
        gc.disable()
        try:
            self.labels, self._columns = _read(pathlib.Path(annotations_json))
        finally:
            gc.enable()
        if len(self):
            read_bytes(self._image_path(0))

    def __len__(self) -> int:
        return len(self._columns.ids)

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes image `i`, RGB."""
        return read_image(self._image_path(i))

    def annotations(self, i: int) -> Annotations:
        """Gives the boxes of image `i`; reads the image only if its size is unknown."""
        columns = self._columns
        height, width = (int(side) for side in columns.sizes[i])
        if not height or not width:
            path = self._image_path(i)
            height, width = image_size(read_bytes(path), name=str(path))
        rows = slice(columns.start[i], columns.start[i + 1])
        return Annotations(
            image_id=columns.ids[i],
            height=height,
            width=width,
            boxes=columns.boxes[rows],
            classes=columns.classes[rows],
            is_crowd=columns.is_crowd[rows],
            area=columns.area[rows],
        )

    def _image_path(self, i: int) -> pathlib.Path:
        """Some tools write folders into file_name that the images left since."""
        path = self._folder / self._columns.file_names[i]
        bare = self._folder / path.name
        return bare if bare != path and bare.exists() and not path.exists() else path


def _read(path: pathlib.Path) -> tuple[LabelMap, _Columns]:
    document = _read_document(path)
    images, annotations = document["images"], document["annotations"]
    try:
        categories = {c["id"]: str(c["name"]) for c in document["categories"]}
        ids = [image["id"] for image in images]
        file_names = [image["file_name"] for image in images]
        image_ids = [annotation["image_id"] for annotation in annotations]
        class_ids = [annotation["category_id"] for annotation in annotations]
    except KeyError as error:
        raise UsageError(
            f"{path}: an entry has no {error}; is it a COCO detection file?"
        ) from error
    labels = contiguous(categories)
    sizes = [(image.get("height") or 0, image.get("width") or 0) for image in images]
    rows = _lookup(image_ids, _row_of(ids, path), "image", path)
    order = np.argsort(rows, kind="stable")
    boxes_xywh = _boxes_xywh(annotations, path)[order]
    corner, size = boxes_xywh[:, :2], boxes_xywh[:, 2:]
    area = np.array(
        [np.nan if a.get("area") is None else a["area"] for a in annotations],
        np.float64,
    )[order]
    is_crowd = [bool(annotation.get("iscrowd")) for annotation in annotations]
    return labels, _Columns(
        ids=ids,
        file_names=file_names,
        sizes=np.array(sizes, np.int64).reshape(-1, 2),
        start=np.searchsorted(rows[order], np.arange(len(images) + 1)),
        boxes=np.concatenate([corner, corner + size], axis=1)[:, [1, 0, 3, 2]],
        classes=_lookup(class_ids, labels.index_of(), "category", path)[order],
        is_crowd=np.array(is_crowd, bool)[order],
        area=np.where(np.isnan(area), size.prod(axis=1), area),
    )


def _read_document(path: pathlib.Path) -> dict[str, Any]:
    try:
        document = json.loads(read_bytes(path))
    except ValueError as error:
        raise UsageError(
            f"{path}: is not JSON ({error}); is the file whole?"
        ) from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise UsageError(
                f"{path}: has no list {key!r}; give a COCO detection file"
                " (instances_*.json)"
            )
    return document


def _row_of(ids: list[int | str], path: pathlib.Path) -> dict[int | str, int]:
    row_of = {id_: row for row, id_ in enumerate(ids)}
    if len(row_of) < len(ids):
        twice = next(id_ for row, id_ in enumerate(ids) if row_of[id_] != row)
        raise UsageError(f"{path}: image id {twice!r} occurs twice; make ids unique")
    return row_of


def _lookup(
    ids: list[Any], table: Mapping[Any, int], what: str, path: pathlib.Path
) -> Int[np.ndarray, " n"]:
    try:
        return np.fromiter((table[id_] for id_ in ids), np.int32, len(ids))
    except KeyError as error:
        raise UsageError(
            f"{path}: a box is on {what} id {error}, which the file does not define;"
            f" add the {what} or remove the box"
        ) from error


def _boxes_xywh(
    annotations: list[dict[str, Any]], path: pathlib.Path
) -> Float[np.ndarray, "n 4"]:
    for annotation in annotations:
        if len(annotation.get("bbox") or ()) != 4:
            raise UsageError(
                f"{path}: annotation id {annotation.get('id')!r} has no bbox"
                f" [x, y, width, height] but {annotation.get('bbox')!r}; correct it"
            )
    boxes = [annotation["bbox"] for annotation in annotations]
    return np.array(boxes, np.float64).reshape(-1, 4)
