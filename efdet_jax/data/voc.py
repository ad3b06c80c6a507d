"""Pascal VOC folders, read in place."""

import pathlib
import xml.etree.ElementTree as ET
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from efdet_jax.data.files import image_size, read_bytes, read_image
from efdet_jax.data.labels import contiguous
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations


class _Record(NamedTuple):
    """What one XML file says, in the file's own terms."""

    file_name: str
    size: tuple[int, int]
    """Height and width; 0 where the file does not say."""
    boxes_xyxy: list[list[float]]
    names: list[str]
    is_difficult: list[bool]


class Voc:
    """One split of a folder with Annotations, ImageSets and JPEGImages; a `Source`.

    The classes are the names in *all* files of Annotations, sorted, with ids 1..n:
    every split of a folder has the same. Objects marked difficult are `is_crowd`, which
    evaluation neither rewards nor punishes.

    VOC counts pixels from 1 and names the first and the last one of an object, so a box
    becomes [y0 - 1, x0 - 1, y1, x1]. An object whose corners coincide is thus 1x1
    pixels, not nothing. A first pixel stated as 0, by tools that count from 0, stays 0.
    """

    def __init__(self, folder: pathlib.Path | str, split: str):
        """Reads every annotation of the folder and finds the images of the split.

        Args:
          folder: The one that holds Annotations, ImageSets and JPEGImages.
          split: The name of a file in ImageSets/Main, without ".txt".

        Raises:
          UsageError: The split, an annotation or an image is missing or damaged.
        """
        self._folder = pathlib.Path(folder)
        self._ids = _read_split(self._folder, split)
        records = {
            path.stem: _parse(path)
            for path in sorted((self._folder / "Annotations").glob("*.xml"))
        }
        names = sorted({name for record in records.values() for name in record.names})
        self.labels = contiguous(dict(enumerate(names, start=1)))
        without = [id_ for id_ in self._ids if id_ not in records]
        if without:
            raise UsageError(
                f"{self._folder}: split {split!r} lists {without[0]!r}, but"
                f" Annotations/{without[0]}.xml is missing; add it or unlist it"
            )
        self._records = [records[id_] for id_ in self._ids]
        self._paths = _find_images(self._folder, self._ids, self._records)
        self._class_of = {name: index for index, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self._ids)

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes image `i`, RGB."""
        return read_image(self._paths[i])

    def annotations(self, i: int) -> Annotations:
        """Gives the boxes of image `i`; reads the image only if the XML has no size."""
        record = self._records[i]
        height, width = record.size
        if not height or not width:
            path = self._paths[i]
            height, width = image_size(read_bytes(path), name=str(path))
        boxes_xyxy = np.array(record.boxes_xyxy, np.float64).reshape(-1, 4)
        boxes_xyxy[:, :2] = np.maximum(boxes_xyxy[:, :2] - 1, 0)
        return Annotations(
            image_id=self._ids[i],
            height=height,
            width=width,
            boxes=boxes_xyxy[:, [1, 0, 3, 2]],
            classes=np.array([self._class_of[name] for name in record.names], np.int32),
            is_crowd=np.array(record.is_difficult, bool),
            area=(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(axis=1),
        )


def _read_split(folder: pathlib.Path, split: str) -> list[str]:
    lists = folder / "ImageSets" / "Main"
    path = lists / f"{split}.txt"
    if not path.is_file():
        existing = ", ".join(sorted(p.stem for p in lists.glob("*.txt"))) or "none"
        raise UsageError(
            f"{lists}: has no split {split!r}; those that exist: {existing}"
        )
    # The lists of one class have a second column, which says whether it occurs.
    lines = read_bytes(path).decode().splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def _parse(path: pathlib.Path) -> _Record:
    try:
        root = ET.fromstring(read_bytes(path))
        objects = root.findall("object")
        corners = ("xmin", "ymin", "xmax", "ymax")
        return _Record(
            file_name=root.findtext("filename", "").strip(),
            size=(
                int(root.findtext("size/height") or 0),
                int(root.findtext("size/width") or 0),
            ),
            boxes_xyxy=[
                [float(o.findtext(f"bndbox/{corner}", "")) for corner in corners]
                for o in objects
            ],
            names=[o.findtext("name", "").strip() for o in objects],
            is_difficult=[o.findtext("difficult", "").strip() == "1" for o in objects],
        )
    except (ET.ParseError, ValueError) as error:
        raise UsageError(
            f"{path}: is no VOC annotation ({error}); correct it or remove it"
        ) from error


def _find_images(
    folder: pathlib.Path, ids: list[str], records: list[_Record]
) -> list[pathlib.Path]:
    """Goes by the stem, then by the XML's file name, which copies often falsify."""
    images = folder / "JPEGImages"
    by_stem = {path.stem: path for path in sorted(images.glob("*"))}
    paths = []
    for id_, record in zip(ids, records, strict=True):
        path = by_stem.get(id_) or by_stem.get(pathlib.Path(record.file_name).stem)
        if path is None:
            raise UsageError(f"{images}: has no image {id_!r}; add it or unlist it")
        paths.append(path)
    return paths
