"""COCO annotation files, read in place."""

import gc
import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath
from jaxtyping import Bool, Float, Int, UInt8

from efdet_jax.data.files import (
    decode_image,
    image_size,
    path_inside,
    read_bytes,
    stated_side,
)
from efdet_jax.data.flaws import Flaw, is_box
from efdet_jax.data.labels import LabelMap, class_names, contiguous
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations


class _Columns(NamedTuple):
    """A file in arrays; the boxes of image `i` are rows `start[i]:start[i + 1]`."""

    ids: list[int | str]
    paths: list[epath.Path]
    sizes: Int[np.ndarray, "i 2"]
    """Height and width; 0 where the file does not say."""
    start: Int[np.ndarray, " j"]
    boxes: Float[np.ndarray, "n 4"]
    classes: Int[np.ndarray, " n"]
    is_crowd: Bool[np.ndarray, " n"]
    area: Float[np.ndarray, " n"]
    flaws: tuple[Flaw, ...]


class Coco:
    """The images and boxes of one COCO JSON file; a `Source`.

    Boxes and areas keep the double precision of the file, so that evaluation sees the
    numbers that pycocotools would see.
    """

    def __init__(
        self, annotations_json: epath.PathLike, images_folder: epath.PathLike
    ) -> None:
        """Reads the annotations and looks for the first image.

        Args:
          annotations_json: The file, with "images", "annotations" and "categories".
          images_folder: Where the images are that "file_name" names.

        Raises:
          UsageError: A file, folder or key is missing, an id is used but not defined or
            defined twice, or an image's name leads out of the folder.
        """
        self._folder = epath.Path(images_folder)
        # The collector would search the millions of objects of a file like COCO's
        # training set again and again: 17 s of parsing become 6 s without it.
        gc.disable()
        try:
            self.labels, self._columns = _read(
                epath.Path(annotations_json), self._folder
            )
        finally:
            gc.enable()
        self.flaws = self._columns.flaws
        if len(self):
            self.encoded(0)

    def __len__(self) -> int:
        return len(self._columns.ids)

    def title(self, i: int) -> str:
        """Names the file of image `i`."""
        return str(self._image_path(i))

    def encoded(self, i: int) -> bytes:
        """Reads the file of image `i`."""
        return read_bytes(self._image_path(i))

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes image `i`, RGB."""
        return decode_image(self.encoded(i), name=self.title(i))

    def annotations(self, i: int) -> Annotations:
        """Gives the boxes of image `i`; reads the image only if its size is unknown."""
        columns = self._columns
        height, width = (int(side) for side in columns.sizes[i])
        if not height or not width:
            height, width = image_size(self.encoded(i), name=self.title(i))
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

    def _image_path(self, i: int) -> epath.Path:
        """Some tools write folders into file_name that the images left since."""
        path = self._columns.paths[i]
        if path.parent == self._folder:
            return path
        bare = self._folder / path.name
        return bare if bare.exists() and not path.exists() else path


def _read(path: epath.Path, folder: epath.Path) -> tuple[LabelMap, _Columns]:
    document = _read_document(path)
    images, annotations, categories = (document[key] for key in _LISTS)
    names = class_names(_values(categories, "name", "category", path), path)
    labels = contiguous(
        dict(zip(_ids(categories, "category", path), names, strict=True))
    )
    ids = _ids(images, "image", path)
    paths = [
        path_inside(folder, name, where=f"{path}, image id {_shown(id_)}")
        for id_, name in zip(
            ids, _values(images, "file_name", "image", path), strict=True
        )
    ]
    row_of = {id_: row for row, id_ in enumerate(ids)}
    rows = _lookup(annotations, "image", row_of, path)
    classes = _lookup(annotations, "category", labels.index_of(), path)
    boxes_xywh = _boxes_xywh(annotations, path)
    corner, size = boxes_xywh[:, :2], boxes_xywh[:, 2:]
    boxes = np.concatenate([corner, corner + size], axis=1)[:, [1, 0, 3, 2]]
    stated_area = _numbers([a.get("area") for a in annotations])
    is_area = np.isfinite(stated_area) & (stated_area >= 0)
    area = np.where(is_area, stated_area, size.prod(axis=1))
    is_crowd = np.array([bool(a.get("iscrowd")) for a in annotations], bool)
    is_kept = is_box(boxes)
    order = np.argsort(rows, kind="stable")
    order = order[is_kept[order]]
    return labels, _Columns(
        ids=ids,
        paths=paths,
        sizes=np.array(
            [
                [stated_side(_number(image.get(key))) for key in ("height", "width")]
                for image in images
            ],
            np.int64,
        ).reshape(-1, 2),
        start=np.searchsorted(rows[order], np.arange(len(images) + 1)),
        boxes=boxes[order],
        classes=classes[order],
        is_crowd=is_crowd[order],
        area=area[order],
        flaws=tuple(
            Flaw(
                f"{path}, annotation {_called(annotations[row], row)}",
                f"bbox {_shown(annotations[row]['bbox'])} is no box",
                "left out",
            )
            for row in np.flatnonzero(~is_kept).tolist()
        ),
    )


_LISTS = ("images", "annotations", "categories")


def _read_document(path: epath.Path) -> dict[str, Any]:
    try:
        document = json.loads(read_bytes(path))
    # Brackets nested without end are a RecursionError.
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path}: is not JSON ({error}); is the file whole?"
        ) from error
    for key in _LISTS:
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise UsageError(
                f"{path}: has no list {key!r}; give a COCO detection file"
                " (instances_*.json)"
            )
        for row, entry in enumerate(document[key]):
            if not isinstance(entry, dict):
                raise UsageError(
                    f"{path}: entry {row} of {key!r} is {_shown(entry)}, not an"
                    " object with keys; is it a COCO detection file?"
                )
    return document


def _shown(value: object) -> str:
    """Returns a value of the file for an error: it may be long, and deep."""
    return reprlib.repr(value)


def _called(entry: Mapping[str, Any], row: int) -> str:
    """Names an entry in an error: by its id, or by its place where it has none."""
    return f"id {_shown(entry['id'])}" if "id" in entry else f"number {row}"


def _values(
    entries: Sequence[Mapping[str, Any]], key: str, what: str, path: epath.Path
) -> list[Any]:
    try:
        return [entry[key] for entry in entries]
    except KeyError:
        row = next(row for row, entry in enumerate(entries) if key not in entry)
        raise UsageError(
            f"{path}: {what} {_called(entries[row], row)} has no {key!r}; add it, or"
            f" remove the {what}"
        ) from None


def _ids(
    entries: Sequence[Mapping[str, Any]], what: str, path: epath.Path
) -> list[int | str]:
    """Returns ids that are numbers or words, each once; some tools write 7 as 7.0."""
    ids = [
        int(id_) if isinstance(id_, float) and id_.is_integer() else id_
        for id_ in _values(entries, "id", what, path)
    ]
    known = set()
    for id_ in ids:
        if not isinstance(id_, int | str):
            raise UsageError(
                f"{path}: {what} id {_shown(id_)} is neither a whole number nor a word;"
                " correct it"
            )
        if id_ in known:
            raise UsageError(
                f"{path}: {what} id {_shown(id_)} occurs twice; make ids unique"
            )
        known.add(id_)
    return ids


def _lookup(
    annotations: Sequence[Mapping[str, Any]],
    what: str,
    row_of: Mapping[int | str, int],
    path: epath.Path,
) -> Int[np.ndarray, " n"]:
    """Returns the rows of the images or categories that annotations name."""
    ids = _values(annotations, f"{what}_id", "annotation", path)
    try:
        return np.fromiter((row_of[id_] for id_ in ids), np.int32, len(ids))
    except (KeyError, TypeError):
        row = next(row for row, id_ in enumerate(ids) if not _is_in(id_, row_of))
        raise UsageError(
            f"{path}: annotation {_called(annotations[row], row)} is on {what} id"
            f" {_shown(ids[row])}, which the file does not define; add the {what} or"
            " remove the annotation"
        ) from None


def _is_in(id_: object, row_of: Mapping[Any, int]) -> bool:
    return isinstance(id_, int | float | str) and id_ in row_of


def _boxes_xywh(
    annotations: Sequence[Mapping[str, Any]], path: epath.Path
) -> Float[np.ndarray, "n 4"]:
    values: list[object] = []
    for row, annotation in enumerate(annotations):
        box = annotation.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            raise UsageError(
                f"{path}: annotation {_called(annotation, row)} has no bbox"
                f" [x, y, width, height] but {_shown(box)}; correct it"
            )
        values += box
    return _numbers(values).reshape(-1, 4)


def _numbers(values: Sequence[object]) -> Float[np.ndarray, " n"]:
    """Returns JSON numbers, and not a number for anything else."""
    try:
        array = np.array(values)
    except ValueError:
        array = np.array(None)
    # One by one takes seconds for a file like COCO's training set.
    if array.ndim == 1 and array.dtype.kind in "if":
        return array.astype(np.float64)
    return np.array([_number(value) for value in values], np.float64)


def _number(value: object) -> float:
    """Returns a JSON number, and not a number for anything else."""
    if not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
