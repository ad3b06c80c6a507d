"""The same pictures and boxes written as COCO, VOC and YOLO, by the formats' rules."""

import json
import os
from typing import NamedTuple

import numpy as np

from efdet_jax.data.coco import Coco


class Pictured(NamedTuple):
    """An image file with its objects."""

    path: os.PathLike
    height: int
    width: int
    objects: list
    """(name, [y0, x0, y1, x1])"""

    @property
    def stem(self):
        return os.path.splitext(os.path.basename(self.path))[0]


def pictured_voc100(shared):
    """The photographs of voc100 with the boxes of its COCO file, and all names."""
    folder = shared / "data" / "voc100"
    coco = Coco(
        folder / "annotations_coco" / "instances_default.json", folder / "images"
    )
    pictured = []
    for i in range(len(coco)):
        each = coco.annotations(i)
        names = [coco.labels.names[class_] for class_ in each.classes]
        objects = list(zip(names, each.boxes.tolist(), strict=True))
        pictured.append(Pictured(coco.title(i), each.height, each.width, objects))
    return pictured, sorted(coco.labels.names)


def write_coco(folder, pictured, names):
    """Images stay where they are; ids have gaps."""
    images = folder / "images"
    images.mkdir(parents=True)
    ids = {name: 3 * i + 7 for i, name in enumerate(names)}
    document = {"images": [], "annotations": [], "categories": []}
    document["categories"] = [{"id": ids[n], "name": n} for n in names]
    for number, each in enumerate(pictured):
        (images / os.path.basename(each.path)).symlink_to(each.path)
        document["images"].append(
            {
                "id": 1000 - number,
                "file_name": os.path.basename(each.path),
                "height": each.height,
                "width": each.width,
            }
        )
        for name, (y0, x0, y1, x1) in each.objects:
            document["annotations"].append(
                {
                    "id": len(document["annotations"]),
                    "image_id": 1000 - number,
                    "category_id": ids[name],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                }
            )
    (folder / "instances_all.json").write_text(json.dumps(document))
    return f"coco:{folder}/instances_all.json,{images}"


def write_voc(folder, pictured, names):
    del names
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for each in pictured:
        (folder / "JPEGImages" / os.path.basename(each.path)).symlink_to(each.path)
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x0 + 1!r}</xmin>"
            f"<ymin>{y0 + 1!r}</ymin><xmax>{x1!r}</xmax><ymax>{y1!r}</ymax></bndbox>"
            "</object>"
            for name, (y0, x0, y1, x1) in each.objects
        )
        (folder / "Annotations" / f"{each.stem}.xml").write_text(
            f"<annotation><filename>{os.path.basename(each.path)}</filename>"
            f"<size><width>{each.width}</width><height>{each.height}</height></size>"
            f"{objects}</annotation>"
        )
    stems = "\n".join(each.stem for each in pictured)
    (folder / "ImageSets" / "Main" / "all.txt").write_text(stems)
    return f"voc:{folder},all"


def write_yolo(folder, pictured, names):
    for part in ("images/train", "labels/train"):
        (folder / part).mkdir(parents=True)
    listed = "".join(f"  {i}: {name}\n" for i, name in enumerate(names))
    (folder / "data.yaml").write_text(f"train: images/train\nnames:\n{listed}")
    for each in pictured:
        image = folder / "images" / "train" / os.path.basename(each.path)
        image.symlink_to(each.path)
        lines = []
        for name, (y0, x0, y1, x1) in each.objects:
            centre = ((x0 + x1) / 2 / each.width, (y0 + y1) / 2 / each.height)
            size = ((x1 - x0) / each.width, (y1 - y0) / each.height)
            numbers = " ".join(map(repr, (*centre, *size)))
            lines.append(f"{names.index(name)} {numbers}\n")
        (folder / "labels" / "train" / f"{each.stem}.txt").write_text("".join(lines))
    return f"yolo:{folder},train"


WRITERS = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}


def in_order(objects):
    """Sorts (name, box) in an order that rounding does not change."""
    return sorted(objects, key=lambda pair: (pair[0], np.round(pair[1], 1).tolist()))


def by_title(source):
    """{file name: sorted (class name, box) of its objects} of a `Source`."""
    found = {}
    for i in range(len(source)):
        each = source.annotations(i)
        rows = in_order(
            (source.labels.names[class_], box.tolist())
            for class_, box in zip(each.classes, each.boxes, strict=True)
        )
        found[os.path.basename(source.title(i))] = (
            (each.height, each.width),
            [name for name, _ in rows],
            np.array([box for _, box in rows]).reshape(-1, 4),
        )
    return found
