"""Pascal VOC annotations, read in place."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath
from jaxtyping import Float, UInt8

from efdet_jax.data.files import (
    decode_image,
    image_size,
    read_bytes,
    read_text,
    stated_side,
)
from efdet_jax.data.flaws import Flaw, is_box
from efdet_jax.data.labels import contiguous
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _Record(NamedTuple):
    """What one XML file says."""

    file_name: str
    size: tuple[int, int]
    """Height and width; 0 where the file does not say."""
    boxes: Float[np.ndarray, "n 4"]
    names: list[str]
    is_difficult: list[bool]
    flaws: list[Flaw]


class Voc:
    """Some images with an XML file each; a `Source`.

    The classes are the names in *all* XML files of the folder, sorted, with ids 1..n:
    every split of a folder has the same. Objects marked difficult are `is_crowd`, which
    evaluation neither rewards nor punishes.

    VOC counts pixels from 1 and names the first and the last one of an object, so a box
    becomes [y0 - 1, x0 - 1, y1, x1]. An object whose corners coincide is thus 1x1
    pixels, not nothing. A first pixel stated as 0, by tools that count from 0, stays 0.
    """

    def __init__(
        self,
        annotations_folder: epath.PathLike,
        images_folder: epath.PathLike,
        ids: Sequence[str] | None = None,
    ):
        """Reads every annotation of the folder and finds the images.

        Args:
          annotations_folder: the one with the XML files.
          images_folder: the one with the images; may be the same.
          ids: names of XML files without ".xml"; None is all of them.

        Raises:
          UsageError: an annotation or an image is missing or damaged.
        """
        annotations = epath.Path(annotations_folder)
        records = {
            path.stem: _parse(path)
            for path in sorted(annotations.glob("*.xml"))
            if not path.name.startswith(".")
        }
        names = sorted({name for record in records.values() for name in record.names})
        self.labels = contiguous(dict(enumerate(names, start=1)))
        self._ids = list(records) if ids is None else list(ids)
        without = [id_ for id_ in self._ids if id_ not in records]
        if without:
            raise UsageError(
                f"{annotations}: has no {without[0]}.xml, which the split lists; add it"
                " or unlist it"
            )
        self._records = [records[id_] for id_ in self._ids]
        self._paths = _find_images(
            epath.Path(images_folder),
            {id_: records[id_].file_name for id_ in self._ids},
        )
        self._class_of = {name: index for index, name in enumerate(names)}
        self.flaws = tuple(flaw for record in self._records for flaw in record.flaws)

    @classmethod
    def of_split(cls, folder: epath.PathLike, split: str) -> "Voc":
        """Opens one split of a folder with Annotations, ImageSets and JPEGImages.

        Args:
          folder: the one that holds these three.
          split: the name of a file in ImageSets/Main, without ".txt".

        Raises:
          UsageError: the split, an annotation or an image is missing or damaged.
        """
        root = epath.Path(folder)
        return cls(root / "Annotations", root / "JPEGImages", _read_split(root, split))

    def __len__(self) -> int:
        return len(self._ids)

    def title(self, i: int) -> str:
        """Names the file of image `i`."""
        return str(self._paths[self._ids[i]])

    def encoded(self, i: int) -> bytes:
        """Reads the file of image `i`."""
        return read_bytes(self._paths[self._ids[i]])

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes image `i`, RGB."""
        return decode_image(self.encoded(i), name=self.title(i))

    def annotations(self, i: int) -> Annotations:
        """Gives the boxes of image `i`; reads the image only if the XML has no size."""
        record = self._records[i]
        height, width = record.size
        if not height or not width:
            height, width = image_size(self.encoded(i), name=self.title(i))
        boxes = record.boxes
        return Annotations(
            image_id=self._ids[i],
            height=height,
            width=width,
            boxes=boxes,
            classes=np.array([self._class_of[name] for name in record.names], np.int32),
            is_crowd=np.array(record.is_difficult, bool),
            area=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        )


def _read_split(folder: epath.Path, split: str) -> list[str]:
    lists = folder / "ImageSets" / "Main"
    path = lists / f"{split}.txt"
    if not path.is_file():
        existing = ", ".join(sorted(p.stem for p in lists.glob("*.txt"))) or "none"
        raise UsageError(
            f"{lists}: has no split {split!r}; those that exist: {existing}"
        )
    # The lists of one class have a second column, which says whether it occurs.
    return [line.split()[0] for line in read_text(path).splitlines() if line.strip()]


def _parse(path: epath.Path) -> _Record:
    try:
        root = ET.fromstring(read_bytes(path))
    # An encoding that Python does not know is a LookupError.
    except (ET.ParseError, ValueError, LookupError) as error:
        raise UsageError(
            f"{path}: is no VOC annotation ({error}); correct it or remove it"
        ) from error
    objects = root.findall("object")
    where = [f"{path}, object {number}" for number in range(1, len(objects) + 1)]
    corners = [
        [
            _number(each.findtext(f"bndbox/{corner}"), f"bndbox/{corner}", place)
            for corner in _CORNERS
        ]
        for each, place in zip(objects, where, strict=True)
    ]
    boxes_xyxy = np.array(corners, np.float64).reshape(-1, 4)
    first = boxes_xyxy[:, :2]
    boxes_xyxy[:, :2] = np.where((first >= 0) & (first < 1), 0, first - 1)
    boxes = boxes_xyxy[:, [1, 0, 3, 2]]
    names = [each.findtext("name", "").strip() for each in objects]
    if "" in names:
        raise UsageError(f"{where[names.index('')]}: has no name; give it its class")
    kept = np.flatnonzero(is_box(boxes))
    return _Record(
        file_name=root.findtext("filename", "").strip(),
        size=(_side(root, "height"), _side(root, "width")),
        boxes=boxes[kept],
        names=[names[row] for row in kept],
        is_difficult=[
            objects[row].findtext("difficult", "").strip() == "1" for row in kept
        ],
        flaws=[
            Flaw(
                where[row],
                f"{', '.join(_CORNERS)} {corners[row]} are no box",
                "left out",
            )
            for row in np.flatnonzero(~is_box(boxes))
        ],
    )


def _number(text: str | None, what: str, where: str) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise UsageError(
            f"{where}: has no number {what} but {text!r}; correct it"
        ) from None


def _side(root: ET.Element, side: str) -> int:
    """Returns an image's stated height or width, 0 if it is none."""
    try:
        number = float(root.findtext(f"size/{side}") or 0)
    except ValueError:
        return 0
    return stated_side(number)


def _find_images(folder: epath.Path, names: Mapping[str, str]) -> dict[str, epath.Path]:
    """Goes by the stem, then by the XML's file name, which copies often falsify.

    Args:
      folder: of the images.
      names: the XML's file name of each id.
    """
    by_stem = _images_by_stem(folder)
    paths = {}
    for id_, name in names.items():
        path = by_stem.get(id_) or by_stem.get(epath.Path(name).stem)
        if path is None:
            raise UsageError(f"{folder}: has no image {id_!r}; add it or unlist it")
        paths[id_] = path
    return paths


def _images_by_stem(folder: epath.Path) -> Mapping[str, epath.Path]:
    """Finds the files of a folder, which may hold the annotations too."""
    return {
        path.stem: path
        for path in sorted(folder.glob("*"))
        if path.suffix.lower() not in (".xml", ".txt", ".json")
    }
