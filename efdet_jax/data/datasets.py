"""Opening a data set by a one-line specification."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from etils import epath

from efdet_jax.data.coco import Coco
from efdet_jax.data.files import path_inside, read_bytes
from efdet_jax.data.scene_crops import SceneCrops
from efdet_jax.data.shapes import Shapes
from efdet_jax.data.source import Source
from efdet_jax.data.voc import Voc
from efdet_jax.data.yolo import Yolo, is_description
from efdet_jax.errors import UsageError

_LOG = logging.getLogger(__name__)


class _Request(NamedTuple):
    """What an opener needs to know."""

    arguments: str
    """What follows the prefix of the specification."""
    image_size: tuple[int, int]
    shapes: Mapping[str, Any]


def open_source(
    spec: str,
    *,
    image_size: tuple[int, int],
    shapes: Mapping[str, Any],
) -> Source:
    """Opens the data set that a specification names.

    Args:
      spec: One of
        "coco:ANNOTATIONS.json,IMAGES", a COCO file and the folder of its images;
        "voc:FOLDER,SPLIT", a Pascal VOC folder;
        "voc:ANNOTATIONS,IMAGES", a folder of VOC's XML files and one of images, which
          may be the same;
        "yolo:DATA,SPLIT", a YOLO folder, or the data.yaml or obj.data in it;
        "tfds:NAME,SPLIT", a data set that TFDS has prepared as ArrayRecord;
        "tfds_classes:NAME,SPLIT", one such whose images have a class instead of boxes;
        "shapes:SPLIT", the drawn data set;
        "crops:SPLIT", its objects one by one, cut out of scenes twice the size;
        "FOLDER,SPLIT", a folder in a usual layout of COCO, VOC or YOLO, told from its
          contents, which is logged.
        Files and folders may be remote, such as "gs://bucket/folder", as far as etils
        can read them.
      image_size: Height and width in which "shapes" are drawn.
      shapes: `num_train` and `num_val`, the images of each split of "shapes", and the
        other settings of `Shapes`.

    Raises:
      UsageError: The specification is none of these, or what it names cannot be opened.
    """
    prefix, colon, arguments = spec.partition(":")
    # A folder's own name may hold a colon, a prefix never holds a slash or a comma.
    if not colon or "/" in prefix or "," in prefix:
        prefix, arguments = "", spec
    if prefix not in SOURCES:
        raise UsageError(
            f"data set {spec!r}: unknown prefix {prefix!r}; use"
            f" {', '.join(f'{known}:' for known in SOURCES if known)} or FOLDER,SPLIT"
        )
    return SOURCES[prefix](_Request(arguments, image_size, shapes))


def _open_coco(request: _Request) -> Source:
    annotations_json, images_folder = _two(request.arguments, "coco:FILE.json,IMAGES")
    return Coco(annotations_json, images_folder)


def _open_voc(request: _Request) -> Source:
    name, second = _two(request.arguments, "voc:FOLDER,SPLIT or voc:ANNOTATIONS,IMAGES")
    folder = epath.Path(name)
    if not (folder / "ImageSets").is_dir() and next(folder.glob("*.xml"), None):
        return Voc(folder, second)
    return Voc.of_split(folder, second)


def _open_yolo(request: _Request) -> Source:
    data, split = _two(request.arguments, "yolo:DATA,SPLIT")
    return Yolo(data, split)


def _open_tfds(request: _Request) -> Source:
    from efdet_jax.data.tfds import Tfds  # Imported by those who use it only.

    name, split = _two(request.arguments, "tfds:NAME,SPLIT")
    return Tfds(name, split)


def _open_tfds_classes(request: _Request) -> Source:
    from efdet_jax.data.tfds import TfdsClasses  # Imported by those who use it only.

    name, split = _two(request.arguments, "tfds_classes:NAME,SPLIT")
    return TfdsClasses(name, split)


def _open_crops(request: _Request) -> Source:
    # An object of half the scene's side then fills the input with pixels of its own.
    height, width = request.image_size
    return SceneCrops(
        _open_shapes(request._replace(image_size=(2 * height, 2 * width)))
    )


def _open_shapes(request: _Request) -> Source:
    settings = dict(request.shapes)
    sizes = {"train": settings.pop("num_train"), "val": settings.pop("num_val")}
    if request.arguments not in sizes:
        raise UsageError(
            f"data set 'shapes:{request.arguments}': there is no such split; use one of"
            f" {', '.join(sizes)}"
        )
    return Shapes(
        split=request.arguments,
        num_images=sizes[request.arguments],
        image_size=request.image_size,
        **settings,
    )


def _open_folder(request: _Request) -> Source:
    name, split = _two(request.arguments, "FOLDER,SPLIT")
    folder = epath.Path(name)
    if not folder.is_dir():
        raise UsageError(
            f"data set {name!r}: there is no such folder; correct the path"
        )
    place, kind, source = _recognised(folder, split)
    _LOG.info("%s: read as %s, %d images", place, kind, len(source))
    return source


def _recognised(folder: epath.Path, split: str) -> tuple[epath.Path, str, Source]:
    """Returns what a folder was told from, what it is, and its images."""
    for root in (folder, *sorted(p for p in folder.glob("*") if p.is_dir())):
        if (root / "Annotations").is_dir() and (root / "ImageSets").is_dir():
            return root, "Pascal VOC", Voc.of_split(root, split)
    for path in sorted(folder.glob("*")):
        if is_description(path):
            return path, "YOLO", Yolo(path, split)
    flat = folder / split
    if next(flat.glob("*.xml"), None):
        return flat, "XML files of Pascal VOC", Voc(flat, flat)
    annotations_json, images_folder = _find_coco(folder, split)
    kind = f"COCO with the images of {images_folder}"
    return annotations_json, kind, Coco(annotations_json, images_folder)


def _find_coco(folder: epath.Path, split: str) -> tuple[epath.Path, epath.Path]:
    """Finds the COCO file of a split and the folder that holds its images."""
    found = [sorted(folder.glob(p.format(split=split))) for p in COCO_FILES]
    files = next(filter(None, found), [])
    if len(files) != 1:
        those = files or sorted({*folder.glob("*.json"), *folder.glob("*/*.json")})
        names = ", ".join(str(file.relative_to(folder)) for file in those[:8]) or "none"
        raise UsageError(
            f"data set {str(folder)!r}: {len(files)} COCO files fit split {split!r}"
            f" and it is no Pascal VOC or YOLO folder; JSON files there: {names}; give"
            " the name of one as the split, or write coco:FILE.json,IMAGES"
        )
    candidates = [
        candidate
        for pattern in COCO_IMAGES
        for candidate in sorted(folder.glob(pattern.format(split=split)))
    ]
    name = _some_file_name(files[0])
    if not name:
        raise UsageError(f"{files[0]}: names no image; is it a COCO detection file?")
    for candidate in (*candidates, folder):
        path = path_inside(candidate, name, where=str(files[0]))
        if path.is_file() or (candidate / path.name).is_file():
            return files[0], candidate
    raise UsageError(
        f"{files[0]}: its image {name!r} is not in {folder} nor in its"
        f" {', '.join(COCO_IMAGES).format(split=split)}; write coco:FILE.json,IMAGES"
    )


def _some_file_name(path: epath.Path) -> str:
    """Finds one image name without parsing the file, which takes COCO 10 seconds."""
    match = re.search(rb'"file_name"\s*+:\s*+("(?:[^"\\]++|\\.)*+")', read_bytes(path))
    try:
        return json.loads(match[1]) if match else ""
    except ValueError:
        return ""


def _two(arguments: str, form: str) -> tuple[str, str]:
    """Splits at the last comma: a folder's name may hold others."""
    first, _, second = arguments.rpartition(",")
    if not first or not second:
        raise UsageError(f"data set {arguments!r}: has not two parts; write {form}")
    return first, second


COCO_FILES = (
    "annotations*/instances_{split}.json",
    "annotations*/{split}.json",
    "instances_{split}.json",
    "{split}.json",
    "{split}/_annotations.coco.json",
    "annotations*/instances_{split}*.json",
    "instances_{split}*.json",
)
"""Where the COCO file of a split may lie in a folder, the surest place first.

The split must be in the name: a lone file that served any split would let a model be
judged on what it was trained on.
"""

COCO_IMAGES = ("{split}", "{split}*", "images/{split}*", "images")
"""Where its images may lie, if not in the folder itself."""

SOURCES: dict[str, Callable[[_Request], Source]] = {
    "coco": _open_coco,
    "voc": _open_voc,
    "yolo": _open_yolo,
    "tfds": _open_tfds,
    "tfds_classes": _open_tfds_classes,
    "shapes": _open_shapes,
    "crops": _open_crops,
    "": _open_folder,
}
"""What may stand before the colon; the empty one is a bare FOLDER,SPLIT."""
