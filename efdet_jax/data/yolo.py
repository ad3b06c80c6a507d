"""YOLO folders, read in place: Ultralytics' data.yaml and darknet's obj.data."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import yaml
from etils import epath
from jaxtyping import Float, Int, UInt8
from yaml import composer

from efdet_jax.data.files import (
    decode_image,
    image_size,
    is_inside,
    path_inside,
    read_bytes,
    read_text,
)
from efdet_jax.data.flaws import Flaw, is_box
from efdet_jax.data.labels import LabelMap, class_names
from efdet_jax.errors import UsageError
from efdet_jax.structures import Annotations

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_MOST_TEXT = 2**20
"""Characters of a data.yaml: ten thousand names of classes."""
_NO_SHARE = 2.0
"""Coordinates beyond it are pixels, not shares of the image."""


class _PlainLoader(yaml.BaseLoader):
    """Reads lists, mappings and words; nothing else means anything, aliases least.

    Of a list of lists of … that is written once and named ten times on each level, a
    few lines make billions of entries.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise composer.ComposerError(None, None, "aliases are not read", mark)
        return super().compose_node(parent, index)


class _Layout(NamedTuple):
    """What data.yaml or obj.data says, the paths still to be resolved."""

    folder: epath.Path
    """Where the file lies, which nothing in it leads out of."""
    names: tuple[str, ...]
    splits: dict[str, list[str]]
    """Folders of images, or lists of them."""
    roots: tuple[str, ...]
    """Folders, inside of `folder`, that paths may be relative to."""


class _Record(NamedTuple):
    """What one label file says."""

    classes: Int[np.ndarray, " n"]
    shares: Float[np.ndarray, "n 4"]
    """Boxes [y0, x0, y1, x1] as shares of height and width."""
    flaws: list[Flaw]


class Yolo:
    """One split of a folder with a text file for each image; a `Source`.

    A line is "class x y width height", centre and size as shares of the image, or
    "class x y x y x y …", an outline, whose box counts. An image without such a file
    has no objects. Ids of classes are those of the lines, from 0; ids of images are
    their paths in the folder.
    """

    def __init__(self, data: epath.PathLike, split: str):
        """Reads every label file of the split.

        Args:
          data: Ultralytics' data.yaml, darknet's obj.data, or the folder of either.
          split: a key of that file, "train", "val" or "test"; darknet calls "val"
            "valid".

        Raises:
          UsageError: the split, a folder or a file of names is missing, a line is no
            object, or a path leads out of the folder.
        """
        path = _find_description(epath.Path(data))
        read = _read_yaml if path.suffix in (".yaml", ".yml") else _read_obj_data
        layout = read(path)
        self._folder = layout.folder
        self._paths = _find_images(layout, split, path)
        records = [
            _read_labels(self._label_path(image), layout.names) for image in self._paths
        ]
        self._records = records
        self._sizes: dict[int, tuple[int, int]] = {}
        names = class_names(layout.names, path)
        self.labels = LabelMap(tuple(range(len(names))), names)
        self.flaws = tuple(flaw for record in records for flaw in record.flaws)

    def __len__(self) -> int:
        return len(self._paths)

    def title(self, i: int) -> str:
        """Names the file of image `i`."""
        return str(self._paths[i])

    def encoded(self, i: int) -> bytes:
        """Reads the file of image `i`."""
        return read_bytes(self._paths[i])

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes image `i`, RGB."""
        return decode_image(self.encoded(i), name=self.title(i))

    def annotations(self, i: int) -> Annotations:
        """Gives the boxes of image `i`; of the image, only the header is read, once."""
        if i not in self._sizes:
            self._sizes[i] = image_size(self.encoded(i), name=self.title(i))
        height, width = self._sizes[i]
        record = self._records[i]
        boxes = record.shares * np.array([height, width, height, width])
        return Annotations(
            image_id=self._paths[i].relative_to(self._folder).as_posix(),
            height=height,
            width=width,
            boxes=boxes,
            classes=record.classes,
            is_crowd=np.zeros(len(boxes), bool),
            area=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        )

    def _label_path(self, image: epath.Path) -> epath.Path:
        """In the folder "labels" beside "images", or else beside the image."""
        parts = list(image.relative_to(self._folder).parts)
        if "images" in parts[:-1]:
            last = len(parts) - 2 - parts[:-1][::-1].index("images")
            labels = self._folder.joinpath(*parts[:last], "labels")
            if labels.is_dir():
                return labels.joinpath(*parts[last + 1 :]).with_suffix(".txt")
        return image.with_suffix(".txt")


def is_description(path: epath.Path) -> bool:
    """Says whether a file is of the kind that `Yolo` starts from, by its name."""
    return path.suffix in (".yaml", ".yml") or path.name == "obj.data"


def _find_description(data: epath.Path) -> epath.Path:
    if not data.is_dir():
        if not data.is_file():
            raise UsageError(
                f"data set {str(data)!r}: does not exist; correct the path"
            )
        return data
    found = sorted(path for path in data.glob("*") if is_description(path))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UsageError(
            f"{data}: should have one data.yaml or obj.data, but there are: {names};"
            " name the file, yolo:FILE,SPLIT"
        )
    return found[0]


def _read_yaml(path: epath.Path) -> _Layout:
    text = read_text(path)
    if len(text) > _MOST_TEXT:
        raise UsageError(
            f"{path}: has more than {_MOST_TEXT:,} characters, too many for a"
            " description of a data set; name another file"
        )
    try:
        document = yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(
            f"{path}: is no YAML ({' '.join(str(error).split())}); correct it"
        ) from error
    document = document if isinstance(document, dict) else {}
    names = document.get("names")
    if isinstance(names, Mapping):
        names = [names.get(str(i)) for i in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise UsageError(
            f"{path}: has no names of the classes; give names as a list, or as a"
            " mapping from 0, 1, 2…"
        )
    count = document.get("nc", "")
    if isinstance(count, str) and count not in ("", str(len(names))):
        raise UsageError(
            f"{path}: nc is {count} but there are {len(names)} names; correct one of"
            " them"
        )
    root = document.get("path")
    return _Layout(
        path.parent,
        tuple(map(str, names)),
        {
            split: _entries(document[split], f"{path}, {split}")
            for split in ("train", "val", "test")
            if document.get(split)
        },
        # Written for another machine more often than not.
        roots=(root, "") if isinstance(root, str) and is_inside(root) else ("",),
    )


def _entries(value: object, where: str) -> list[str]:
    """Returns the folders or lists of a split, which may be one or several."""
    entries = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, str) for entry in entries):
        raise UsageError(
            f"{where}: is neither a folder of images, a .txt list of them, nor several"
            " of these; correct it"
        )
    return entries


def _read_obj_data(path: epath.Path) -> _Layout:
    pairs = [line.partition("=") for line in read_text(path).splitlines()]
    values = {key.strip(): value.strip() for key, _, value in pairs}
    if not values.get("names"):
        raise UsageError(f"{path}: has no line names = FILE; add it")
    layout = _Layout(
        path.parent,
        (),
        {
            split: [values[key]]
            for split, key in (("train", "train"), ("val", "valid"), ("test", "test"))
            if values.get(key)
        },
        # Paths are written from the folder above, mostly called "data".
        roots=("", ".."),
    )
    lines = read_text(_resolved(layout, values["names"], path)).splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    return layout._replace(names=names)


def _resolved(layout: _Layout, name: str, where: epath.Path) -> epath.Path:
    """Finds a folder or file that the description names; nothing outside of its own.

    Ultralytics and its exporters write "../train/images" for a folder beside
    data.yaml, and darknet's "data/train.txt" for one beside obj.data.
    """
    bare = name.replace("\\", "/").removeprefix("./").removeprefix("../")
    wanted = []
    for root in layout.roots:
        inner = bare.partition("/")[2] if root == ".." else f"{root}/{bare}".lstrip("/")
        if inner:
            wanted.append(path_inside(layout.folder, inner, where=str(where)))
    path_inside(layout.folder, bare, where=str(where))
    return next((path for path in wanted if path.exists()), wanted[0])


def _find_images(layout: _Layout, split: str, path: epath.Path) -> list[epath.Path]:
    if split not in layout.splits:
        existing = ", ".join(layout.splits) or "none"
        raise UsageError(
            f"{path}: has no split {split!r}; those that exist: {existing}"
        )
    found: list[epath.Path] = []
    for entry in layout.splits[split]:
        place = _resolved(layout, entry, path)
        if place.is_dir():
            found += sorted(_images_below(place))
        elif place.suffix == ".txt" and place.is_file():
            lines = [line.strip() for line in read_text(place).splitlines()]
            found += [_resolved(layout, line, place) for line in lines if line]
        else:
            raise UsageError(
                f"{path}: {split} is {entry!r}, but {place} is neither a folder of"
                " images nor a .txt list of them; correct the path"
            )
    return found


def _images_below(folder: epath.Path) -> Iterator[epath.Path]:
    """Yields the images of a folder and of those in it; a link may lead in a circle."""
    seen: set[object] = set()
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        if (where := _identity(folder)) in seen:
            continue
        seen.add(where)
        for path in folder.iterdir():
            if path.suffix.lower() in IMAGE_SUFFIXES:
                yield path
            elif path.is_dir():
                waiting.append(path)


def _identity(folder: epath.Path) -> object:
    """Returns what a folder has in common with all links to it; nothing if remote."""
    try:
        found = os.stat(folder)
    except OSError:
        return os.fspath(folder)
    return found.st_dev, found.st_ino


def _read_labels(path: epath.Path, names: Sequence[str]) -> _Record:
    lines = read_text(path).splitlines() if path.exists() else []
    classes, shares, flaws = [], [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        class_, values = _parse(line, where)
        if class_ not in range(len(names)):
            raise UsageError(
                f"{where}: is of class {class_}, but there are {len(names)} names,"
                " counted from 0; correct one of them"
            )
        box = _box(values)
        if is_box(box[None])[0]:
            classes.append(class_)
            shares.append(box)
        else:
            flaws.append(Flaw(where, f"{line.strip()[:60]!r} is no box", "left out"))
    return _Record(
        np.array(classes, np.int32),
        np.array(shares, np.float64).reshape(-1, 4),
        flaws,
    )


def _parse(line: str, where: str) -> tuple[int, list[float]]:
    columns = line.split()
    if len(columns) != 5 and (len(columns) < 7 or len(columns) % 2 == 0):
        raise UsageError(
            f"{where}: has {len(columns)} columns where there should be five, class x y"
            " width height, or an outline of three points or more; correct it"
        )
    try:
        class_, *values = map(float, columns)
        if not class_.is_integer():
            raise ValueError(f"class {columns[0]!r}")
    # The infinite is no whole number either.
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{where}: is no line of numbers ({error}); correct it"
        ) from None
    largest = max(map(abs, values))
    if _NO_SHARE < largest < np.inf:
        raise UsageError(
            f"{where}: has {largest:g} where a share of the image's width or height"
            " should be, 0 to 1; divide pixels by the image's size"
        )
    return int(class_), values


def _box(values: Sequence[float]) -> Float[np.ndarray, " 4"]:
    if len(values) == 4:
        x, y, width, height = values
        return np.array([y - height / 2, x - width / 2, y + height / 2, x + width / 2])
    points: Any = np.array(values).reshape(-1, 2)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return np.array([y0, x0, y1, x1])
