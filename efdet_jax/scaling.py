"""From one number phi to every size of a detector: the published table and the law.

Source: EfficientNet (arXiv 1905.11946) Eq. 3 and section 4; EfficientDet (arXiv
1911.09070) Eqs. 1-3 and Table 1. The table is what was trained and published, the law
is what the papers say of it. They are two facts and they differ: `differences` lists
where, and a test holds the list.
"""

import functools
import itertools
import math
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from efdet_jax.errors import UsageError

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15
"""EfficientNet's depth, width and resolution bases: ALPHA * BETA**2 * GAMMA**2 ~ 2."""

LARGEST_PHI = 20
"""Beyond, a neck has tens of thousands of channels or the backbone next to none."""

TOP_LEVEL = 7
"""The coarsest pyramid level of the law; its stride, 128 px, is the smallest image."""


class BackboneSize(NamedTuple):
    """An EfficientNet: multipliers of B0's channels and blocks, and pixels."""

    width: float
    depth: float
    resolution: int


class ClassifierSize(NamedTuple):
    """Everything that phi decides of a classifier."""

    image_size: int
    backbone_width: float
    backbone_depth: float
    dropout: float
    """Share of the last layer's inputs that a training step zeroes."""


class DetectorSize(NamedTuple):
    """Everything that phi decides of a detector."""

    image_size: int
    backbone_width: float
    backbone_depth: float
    neck_width: int
    neck_repeats: int
    head_repeats: int
    fusion: str
    max_level: int
    anchor_scale: float
    lite: bool = False
    """EfficientNet-Lite's backbone, ReLU6, pixels scaled to -1..1."""


BACKBONES: dict[str, BackboneSize] = {
    "b0": BackboneSize(1.0, 1.0, 224),
    "b1": BackboneSize(1.0, 1.1, 240),
    "b2": BackboneSize(1.1, 1.2, 260),
    "b3": BackboneSize(1.2, 1.4, 300),
    "b4": BackboneSize(1.4, 1.8, 380),
    "b5": BackboneSize(1.6, 2.2, 456),
    "b6": BackboneSize(1.8, 2.6, 528),
    "b7": BackboneSize(2.0, 3.1, 600),
}
"""The published EfficientNets (the resolution is the classifier's)."""

DROPOUTS = (0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5)
"""Of the published classifiers B0..B7."""

CLASSIFIERS: dict[int | str, ClassifierSize] = {
    phi: ClassifierSize(size.resolution, size.width, size.depth, dropout)
    for phi, (size, dropout) in enumerate(
        zip(BACKBONES.values(), DROPOUTS, strict=True)
    )
}
"""EfficientNet-B0..B7 as published."""


def _row(
    backbone: str,
    image_size: int,
    neck_width: int,
    neck_repeats: int,
    head_repeats: int,
    fusion: str = "fast",
    max_level: int = TOP_LEVEL,
    anchor_scale: float = 4.0,
    lite: bool = False,
) -> DetectorSize:
    width, depth, _ = BACKBONES[backbone]
    return DetectorSize(
        image_size,
        width,
        depth,
        neck_width,
        neck_repeats,
        head_repeats,
        fusion,
        max_level,
        anchor_scale,
        lite,
    )


DETECTORS: dict[int | str, DetectorSize] = {
    0: _row("b0", 512, 64, 3, 3),
    1: _row("b1", 640, 88, 4, 3),
    2: _row("b2", 768, 112, 5, 3),
    3: _row("b3", 896, 160, 6, 4),
    4: _row("b4", 1024, 224, 7, 4),
    5: _row("b5", 1280, 288, 7, 4),
    6: _row("b6", 1280, 384, 8, 5, fusion="sum"),
    7: _row("b6", 1536, 384, 8, 5, fusion="sum", anchor_scale=5.0),
    "7x": _row("b7", 1536, 384, 8, 5, fusion="sum", max_level=8),
}
"""EfficientDet-D0..D7 and D7x as published.

D6 and above add features without weights ("for stability", google/automl), D7 enlarges
its anchors and D7x adds a level; neither paper's equations say so.
"""

_lite = functools.partial(_row, fusion="sum", lite=True)
LITE_DETECTORS: dict[int | str, DetectorSize] = {
    0: _lite("b0", 320, 64, 3, 3, anchor_scale=3.0),
    1: _lite("b1", 384, 88, 4, 3, anchor_scale=3.0),
    2: _lite("b2", 448, 112, 5, 3, anchor_scale=3.0),
    3: _lite("b3", 512, 160, 6, 4),
    "3x": _lite("b3", 640, 200, 6, 4, anchor_scale=3.0),
    4: _lite("b4", 640, 224, 7, 4),
}
"""EfficientDet-Lite0..Lite4 and Lite3x: made for 8-bit integers on phones.

Source: google/automl, efficientdet/hparams_config.py. Backbone multipliers are those of
B0..B4; which parts they leave alone is `models.efficientnet.EfficientNet.lite`.
"""


def real_phi(phi: float | str) -> float:
    """Returns phi as a number, which may come as text from a command line.

    Raises:
      UsageError: if it is none that the law takes.
    """
    try:
        number = float(phi)
    except ValueError:
        number = math.nan
    if not abs(number) <= LARGEST_PHI:
        raise UsageError(
            f"phi={phi} is not a number that the law takes: use one from "
            f"-{LARGEST_PHI} to {LARGEST_PHI}, such as -1.5"
        )
    return number


def backbone_law(phi: float) -> BackboneSize:
    """Returns EfficientNet's compound law at any real phi.

    Source: EfficientNet Eq. 3. Multipliers are not rounded here (the backbone rounds
    channels to multiples of 8 and blocks up); the resolution is rounded to an integer.
    """
    return BackboneSize(BETA**phi, ALPHA**phi, round(224 * GAMMA**phi))


def detector_law(phi: float | str) -> DetectorSize:
    """Returns EfficientDet's compound law at any real phi, negative ones too.

    Source: EfficientDet Eqs. 1-3 with EfficientNet Eq. 3 for the backbone. Rounding,
    which the paper leaves open: the neck's width to the nearest multiple of 8, at least
    8; repeats of the neck down, of the head as in Eq. 2, both at least 1; the image to
    the nearest multiple of 32, at least the coarsest stride of 128 pixels.

    Raises:
      UsageError: if phi is no number that the law takes.
    """
    phi = real_phi(phi)
    width, depth, _ = backbone_law(phi)
    return DetectorSize(
        image_size=max(2**TOP_LEVEL, 32 * round((512 + 128 * phi) / 32)),
        backbone_width=width,
        backbone_depth=depth,
        neck_width=max(8, 8 * round(64 * 1.35**phi / 8)),
        neck_repeats=max(1, math.floor(3 + phi)),
        head_repeats=max(1, 3 + math.floor(phi / 3)),
        fusion="fast",
        max_level=TOP_LEVEL,
        anchor_scale=4.0,
    )


def detector_table(phi: float | str) -> DetectorSize:
    """Returns the published detector of phi 0..7, or "7x".

    Raises:
      UsageError: for any other phi.
    """
    return _look_up(DETECTORS, phi)


def lite_table(phi: float | str) -> DetectorSize:
    """Returns the published EfficientDet-Lite of phi 0..4, or "3x".

    Raises:
      UsageError: for any other phi.
    """
    return _look_up(LITE_DETECTORS, phi)


def classifier_table(phi: float | str) -> ClassifierSize:
    """Returns the published EfficientNet of phi 0..7.

    Raises:
      UsageError: for any other phi.
    """
    return _look_up(CLASSIFIERS, phi)


def classifier_law(phi: float | str) -> ClassifierSize:
    """Returns EfficientNet's compound law at any real phi, negative ones too.

    Source: EfficientNet Eq. 3; section 5.2: dropout rises linearly from 0.2 at B0 to
    0.5 at B7. The image has at least the coarsest stride's 32 pixels, dropout stays
    within 0 and 0.9.

    Raises:
      UsageError: if phi is no number that the law takes.
    """
    phi = real_phi(phi)
    width, depth, resolution = backbone_law(phi)
    dropout = min(max(0.2 + 0.3 * phi / 7, 0.0), 0.9)
    return ClassifierSize(max(32, resolution), width, depth, dropout)


class Bases(NamedTuple):
    """What depth, width and resolution are multiplied by from one phi to the next."""

    alpha: float
    beta: float
    gamma: float


def candidate_bases(*, step: float, tolerance: float) -> list[Bases]:
    """Returns the grid that EfficientNet searched for ALPHA, BETA and GAMMA.

    Those multiples of `step`, 1 or more each, that about double the multiply-adds:
    alpha * beta**2 * gamma**2 is within `tolerance` of 2. The paper trains B0 scaled by
    each of them and keeps the best; its choice lies 0.08 below 2.

    Source: EfficientNet Eq. 3 and section 3.3, step 1.
    """
    # No base above 2 can be: the others are at least 1.
    count = math.ceil((1 + tolerance) / step) + 1
    values = [round(1 + i * step, 10) for i in range(count)]
    grid = itertools.product(values, repeat=3)
    return [
        Bases(alpha, beta, gamma)
        for alpha, beta, gamma in grid
        if abs(alpha * beta**2 * gamma**2 - 2) <= tolerance + 1e-9
    ]


DIMENSIONS = ("width", "depth", "resolution")


def dimension_factors(text: str) -> dict[str, float]:
    """Returns what to multiply each dimension by; 1 where the text does not say.

    Args:
      text: such as "width,2", or "depth,1.2,width,1.1,resolution,1.15".

    Raises:
      UsageError: it is not of this form, or a factor is not above zero.
    """
    words = text.split(",")
    factors = dict.fromkeys(DIMENSIONS, 1.0)
    for name, factor in itertools.zip_longest(words[::2], words[1::2], fillvalue=""):
        try:
            number = float(factor)
        except ValueError:
            number = math.nan
        if name not in factors or not 0 < number < math.inf:
            raise UsageError(
                f"scaling {text!r}: {name},{factor} is no dimension and factor: write "
                f"such as width,2 with one of {', '.join(DIMENSIONS)}"
            )
        factors[name] = number
    return factors


Size = TypeVar("Size")


def _look_up(table: Mapping[int | str, Size], phi: float | str) -> Size:
    if phi not in table:
        known = ", ".join(map(str, table))
        raise UsageError(
            f"phi={phi} is not in the published table: use one of {known}, "
            "or the law, which takes any real number"
        )
    return table[phi]


SOURCES = {"table": detector_table, "lite": lite_table, "law": detector_law}
"""Where sizes of detectors come from, by the name that a config gives."""

CLASSIFIER_SOURCES = {"table": classifier_table, "law": classifier_law}
"""Where sizes of classifiers come from."""


def differences(phi: float | str) -> dict[str, tuple[float | str, float | str]]:
    """Returns {field: (table, law)} where the published detector leaves the law.

    "7x" is compared with the law at 7, the phi whose image and neck it shares.
    """
    table = detector_table(phi)._asdict()
    law = detector_law(7 if phi == "7x" else phi)._asdict()
    return {
        name: (table[name], law[name]) for name in table if table[name] != law[name]
    }
