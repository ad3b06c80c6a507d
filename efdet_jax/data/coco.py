"""COCO annotation files, read in place."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from efdet_jax.data.files import image_size, read_bytes, read_image
from efdet_jax.data.labels import label_map
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations


class Coco:
    """The images and boxes of one COCO JSON file; a `Source`.

    Boxes and areas keep the double precision of the file, so that evaluation sees the
    numbers that pycocotools would see.
    """

    def __init__(
        self,
        annotations_json: pathlib.Path | str,
        images_folder: pathlib.Path | str,
        num_classes: int,
    ):
        """Reads the annotations and looks for the first image.

        Args:
          annotations_json: The file, with "images", "annotations" and "categories".
          images_folder: Where the images are that "file_name" names.
          num_classes: 0 numbers the categories without gaps; otherwise network class =
            category id - 1, as in the published weights (90 for COCO).

        Raises:
          UsageError: A file, folder or key is missing, an id is used but not defined or
            defined twice, or a category id lies outside 1..num_classes.
        """
        self._path = pathlib.Path(annotations_json)
        self._folder = pathlib.Path(images_folder)
        document = _read_document(self._path)
        images, annotations = document["images"], document["annotations"]
        try:
            categories = {c["id"]: str(c["name"]) for c in document["categories"]}
            self._ids = [image["id"] for image in images]
            self._file_names = [image["file_name"] for image in images]
            image_ids = [annotation["image_id"] for annotation in annotations]
            class_ids = [annotation["category_id"] for annotation in annotations]
        except KeyError as error:
            raise UsageError(
                f"{self._path}: an entry has no {error}; is it a COCO detection file?"
            ) from error
        self.labels = label_map(categories, num_classes)
        self._sizes = np.array(
            [(i.get("height") or 0, i.get("width") or 0) for i in images], np.int64
        ).reshape(-1, 2)
        rows = _lookup(image_ids, _row_of(self._ids, self._path), "image", self._path)
        classes = _lookup(class_ids, self.labels.index_of(), "category", self._path)
        # Grouped by image, the rows of image i are start[i] to start[i + 1].
        order = np.argsort(rows, kind="stable")
        self._start = np.searchsorted(rows[order], np.arange(len(images) + 1))
        boxes_xywh = _boxes_xywh(annotations, self._path)[order]
        self._classes = classes[order]
        self._is_crowd = np.array(
            [bool(annotation.get("iscrowd")) for annotation in annotations], bool
        )[order]
        areas = [annotation.get("area") for annotation in annotations]
        stated = np.array([np.nan if a is None else a for a in areas], np.float64)
        size = boxes_xywh[:, 2:]
        self._area = np.where(np.isnan(stated[order]), size.prod(axis=1), stated[order])
        corner = boxes_xywh[:, :2]
        self._boxes = np.concatenate([corner, corner + size], axis=1)[:, [1, 0, 3, 2]]
        if self._file_names:
            read_bytes(self._image_path(0))

    def __len__(self) -> int:
        return len(self._ids)

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes image `i`, RGB."""
        return read_image(self._image_path(i))

    def annotations(self, i: int) -> Annotations:
        """Gives the boxes of image `i`; reads the file only if the JSON has no size."""
        height, width = (int(side) for side in self._sizes[i])
        if not height or not width:
            path = self._image_path(i)
            height, width = image_size(read_bytes(path), name=str(path))
        rows = slice(self._start[i], self._start[i + 1])
        return Annotations(
            image_id=self._ids[i],
            height=height,
            width=width,
            boxes=self._boxes[rows],
            classes=self._classes[rows],
            is_crowd=self._is_crowd[rows],
            area=self._area[rows],
        )

    def _image_path(self, i: int) -> pathlib.Path:
        """Some tools write folders into file_name that the images left since."""
        path = self._folder / self._file_names[i]
        bare = self._folder / path.name
        return bare if bare != path and bare.exists() and not path.exists() else path


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
