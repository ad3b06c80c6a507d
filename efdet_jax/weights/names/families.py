"""The table of weight files that are understood, and what they say of themselves."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from efdet_jax import scaling
from efdet_jax.models import resnet
from efdet_jax.models.efficientnet import block_plan, stage_repeats
from efdet_jax.weights.names import (
    automl,
    effdet,
    keras_applications,
    timm,
    torch_resnet,
)
from efdet_jax.weights.names.arranging import as_ours, from_keras, from_torch
from efdet_jax.weights.names.naming import Layout

Arrays = Mapping[str, np.ndarray]
Shape = tuple[int, ...]


class Family(NamedTuple):
    """How one library names and lays out its arrays.

    Attributes:
      name: for messages.
      covers: rooms of our tree of variables that its files fill.
      is_this: tells from the names in a file.
      tidy: the file's weights by the names that `names` gives.
      rooms: how the names begin, after `tidy`, of all that these variables of ours
        are made of.
      names: our path, to the names of the arrays that make it up: none where the
        family has no such variable, several for fusion weights kept as scalars.
      arrange: those arrays and our shape, to the array in our layout; None where they
        cannot be brought to that shape.
    """

    name: str
    covers: tuple[str, ...]
    is_this: Callable[[Collection[str]], bool]
    tidy: Callable[[Arrays], Arrays]
    rooms: tuple[str, ...]
    names: Callable[[str, Layout], tuple[str, ...]]
    arrange: Callable[[Sequence[np.ndarray], Shape], np.ndarray | None]

    def is_spare(self, name: str) -> bool:
        """Says that no detector of ours has a place for this array: a classifier's."""
        return not name.startswith(self.rooms)


BACKBONE = ("backbone",)
CLASSIFIER = ("backbone", "head")
DETECTOR = ("backbone", "neck", "class_head", "box_head")


def _is_ours(names: Collection[str]) -> bool:
    return {"backbone/stem/kernel", "class_head/predict/pointwise/kernel"} <= set(names)


def _is_our_classifier(names: Collection[str]) -> bool:
    return {"backbone/stem/kernel", "head/predict/kernel"} <= set(names)


OURS = Family(
    name="efdet_jax",
    covers=DETECTOR,
    is_this=_is_ours,
    tidy=dict,
    rooms=tuple(f"{room}/" for room in DETECTOR),
    names=lambda path, layout: (path,),
    arrange=as_ours,
)
OUR_CLASSIFIER = OURS._replace(
    name="efdet_jax classifier",
    covers=CLASSIFIER,
    is_this=_is_our_classifier,
    rooms=("backbone/",),
)
TFLITE = OURS._replace(name="EfficientDet-Lite .tflite")
"""Already taken apart into our variables when it was read."""
FAMILIES = (
    OURS,
    OUR_CLASSIFIER,
    Family(
        name="google/automl",
        covers=DETECTOR,
        is_this=automl.has_variables,
        tidy=automl.tidy_variables,
        rooms=("backbone/", "resample_p", "fpn_cells/", "class_net/", "box_net/"),
        names=automl.variable_names,
        arrange=from_keras,
    ),
    Family(
        name="google/automl (TF2 objects)",
        covers=DETECTOR,
        is_this=automl.has_objects,
        tidy=dict,
        rooms=("backbone/", "resample_layers/", "fpn_cells/", "class_net/", "box_net/"),
        names=automl.object_names,
        arrange=from_keras,
    ),
    Family(
        name="effdet",
        covers=DETECTOR,
        is_this=effdet.is_this,
        tidy=timm.tidy,
        rooms=("backbone.", "fpn.", "class_net.", "box_net."),
        names=effdet.names,
        arrange=from_torch,
    ),
    Family(
        name="timm EfficientNet",
        covers=CLASSIFIER,
        is_this=timm.is_this,
        tidy=timm.tidy,
        rooms=("conv_stem.", "bn1.", "blocks."),
        names=timm.names,
        arrange=from_torch,
    ),
    Family(
        name="torchvision or timm ResNet",
        covers=BACKBONE,
        is_this=torch_resnet.is_this,
        tidy=timm.tidy,
        rooms=("conv1.", "bn1.", "layer"),
        names=torch_resnet.names,
        arrange=from_torch,
    ),
    Family(
        name="keras.applications EfficientNet",
        covers=CLASSIFIER,
        is_this=keras_applications.has_layers,
        tidy=keras_applications.tidy_layers,
        rooms=("stem_", "block"),
        names=keras_applications.layer_names,
        arrange=from_keras,
    ),
    Family(
        name="keras.applications EfficientNet (.weights.h5)",
        covers=CLASSIFIER,
        is_this=keras_applications.has_numbers,
        tidy=dict,
        # The classifier's convolution is numbered like the others.
        rooms=("layers/depthwise_conv2d",),
        names=keras_applications.numbered_names,
        arrange=from_keras,
    ),
)
"""No file belongs to two of these."""


def recognise(arrays: Arrays) -> Family | None:
    """Returns the family whose names these are, None for names of no family."""
    return next((f for f in FAMILIES if f.is_this(arrays.keys())), None)


def guess(arrays: Arrays, family: Family) -> str | None:
    """Returns the published models that have these sizes in a phrase, None if none."""
    return " or ".join(guesses(arrays, family)) or None


def guesses(arrays: Arrays, family: Family) -> tuple[str, ...]:
    """Returns the published models that have these sizes.

    Such as "EfficientDet-D3", whatever its classes. Of models that are parts of each
    other the largest, of equal ones all; none where nothing published fits.

    Args:
      arrays: by the family's own names.
      family: of the file.
    """
    marks = {}
    for name, layout, shapes in _published(family.covers):
        if all(_fits(arrays, family, layout, *item) for item in shapes.items()):
            marks[name] = len(shapes)
    most = max(marks.values(), default=0)
    return tuple(name for name in marks if marks[name] == most)


def _fits(
    arrays: Arrays, family: Family, layout: Layout, path: str, shape: Shape
) -> bool:
    names = family.names(path, layout)
    if not names or not arrays.keys() >= set(names):
        return False
    return family.arrange([arrays[name] for name in names], shape) is not None


def _published(
    covers: tuple[str, ...],
) -> Iterator[tuple[str, Layout, dict[str, Shape]]]:
    """Yields (name, layout, {our path: shape}) of what tells published models apart."""
    backbones = {size[:2]: name for name, size in scaling.BACKBONES.items()}
    for table, prefix in ((scaling.DETECTORS, "D"), (scaling.LITE_DETECTORS, "Lite")):
        for phi, size in table.items():
            multipliers = (size.backbone_width, size.backbone_depth)
            stages = stage_repeats(size.backbone_depth, lite=size.lite)
            layout = Layout("efficientnet", stages, (3, size.max_level))
            if covers == DETECTOR:
                yield f"EfficientDet-{prefix}{phi}", layout, _marks(size)
            else:
                number = backbones[multipliers].removeprefix("b")
                name = f"Lite{number}" if size.lite else f"B{number}"
                yield f"EfficientNet-{name}", layout, _backbone_marks(size)
    if covers == BACKBONE:
        for depth, stages in resnet.STAGES.items():
            layout = Layout("resnet", stages, (3, 7))
            yield f"ResNet-{depth}", layout, _resnet_marks(depth)


def _marks(size: scaling.DetectorSize) -> dict[str, Shape]:
    top, width = size.max_level, (size.neck_width,)
    cells = [f"neck/cell_{i}/p{top}_out_bn/scale" for i in range(size.neck_repeats)]
    convs = [f"class_head/bn_{i}_p{top}/scale" for i in range(size.head_repeats)]
    return _backbone_marks(size) | dict.fromkeys(cells + convs, width)


def _backbone_marks(size: scaling.DetectorSize) -> dict[str, Shape]:
    plan = block_plan(size.backbone_width, size.backbone_depth, lite=size.lite)
    blocks: dict[str, Shape] = {
        f"backbone/block_{i}/project_bn/scale": (stage.filters,)
        for i, (stage, _) in enumerate(plan)
    }
    if size.lite:
        return blocks
    gates: dict[str, Shape] = {
        f"backbone/block_{i + 1}/se/reduce/bias": (stage.filters // 4,)
        for i, (stage, _) in enumerate(plan[:-1])
    }
    return blocks | gates


def _resnet_marks(depth: int) -> dict[str, Shape]:
    return {
        f"backbone/block_{i}/conv_1_bn/scale": (filters,)
        for i, (filters, _, _) in enumerate(resnet.block_plan(depth))
    }
