"""What can be checked of a config before any device or file is touched."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from efdet_jax import scaling
from efdet_jax.config import FREE, IF_NOT_SAVED, REFERENCES, has_key
from efdet_jax.data.sampling import SAMPLINGS
from efdet_jax.data.transforms import PAD_COLOURS, RESIZES
from efdet_jax.errors import UsageError
from efdet_jax.losses.boxes import BOX_LOSSES
from efdet_jax.losses.classes import CLASS_LOSSES
from efdet_jax.losses.weighting import WEIGHTINGS
from efdet_jax.models.activations import ACTIVATIONS
from efdet_jax.models.detector import BACKBONES
from efdet_jax.models.efficientnet import FEATURE_LEVELS
from efdet_jax.models.fusion import CHOICES as FUSIONS
from efdet_jax.models.layers import CONVS
from efdet_jax.models.necks import NECKS
from efdet_jax.models.norms import NORMS
from efdet_jax.models.pyramid import COARSE
from efdet_jax.models.remat import REMATS
from efdet_jax.models.resnet import STAGES, STEMS
from efdet_jax.models.windows import PADDINGS
from efdet_jax.optim import DIRECTIONS, SCHEDULES
from efdet_jax.postprocess import CANDIDATES, CLIPS, METHODS


def derived_sizes(size: scaling.DetectorSize) -> dict[str, object]:
    """Returns {config key: value} for every key that phi decides."""
    return {
        "image_size": (size.image_size, size.image_size),
        "model.levels": (3, size.max_level),
        "model.backbone.width": size.backbone_width,
        "model.backbone.depth": size.backbone_depth,
        "model.backbone.lite": size.lite,
        "model.neck.width": size.neck_width,
        "model.neck.repeats": size.neck_repeats,
        "model.neck.fusion": size.fusion,
        "model.head.repeats": size.head_repeats,
        "model.anchors.scale": size.anchor_scale,
    }


def derived_classifier_sizes(size: scaling.ClassifierSize) -> dict[str, object]:
    """Returns {config key: value} for every key that phi decides of a classifier."""
    return {
        "image_size": (size.image_size, size.image_size),
        "model.backbone.width": size.backbone_width,
        "model.backbone.depth": size.backbone_depth,
        "model.dropout": size.dropout,
    }


class _Scaling(NamedTuple):
    """How phi decides the sizes of a task's networks."""

    sources: Mapping[str, Callable[[float | str], Any]]
    derived: Callable[[Any], dict[str, object]]
    experiment: str
    """Whose argument is phi."""


_SCALINGS = {
    "detection": _Scaling(scaling.SOURCES, derived_sizes, "experiments/phi.py:PHI"),
    "classification": _Scaling(
        scaling.CLASSIFIER_SOURCES,
        derived_classifier_sizes,
        "experiments/efficientnet_bPHI.py",
    ),
}


def _check_task(config: ConfigDict) -> None:
    """Checks that the config was made for its task, whose sections it has."""
    made_for = "detection" if has_key(config, "postprocess") else "classification"
    if config.task != made_for:
        raise UsageError(
            f"config.task={config.task} does not suit the experiment, which is made for"
            f" {made_for}: choose another experiment instead"
        )


def _check_backbone(config: ConfigDict) -> None:
    """Checks that the backbone's section has the keys of that backbone."""
    section = config.model.backbone
    fields = {field.name for field in dataclasses.fields(BACKBONES[section.name])}
    expected = fields - {"style", "parent", "name"}
    found = set(section) - {"name", "batch_norm"}
    if found != expected:
        raise UsageError(
            f"config.model.backbone.name={section.name} takes the keys "
            f"{', '.join(sorted(expected))}, not {', '.join(sorted(found))}: change "
            "the backbone in the experiment's file, not on the command line"
        )
    if section.name == "resnet":
        for key, choices in (("depth", STAGES), ("variant", STEMS)):
            if section[key] not in choices:
                raise UsageError(
                    f"config.model.backbone.{key}={section[key]} is no ResNet: use one "
                    f"of {', '.join(map(str, choices))}"
                )
    if not 0 < section.get("survival_prob", 1.0) <= 1:
        raise UsageError(
            f"config.model.backbone.survival_prob={section.survival_prob} is out of "
            "range: set it to 1, or to a little less, such as 0.8"
        )


def _check_neck(neck: ConfigDict, first: int, top: int) -> None:
    """Checks that the neck's table exists for the levels that its cells see."""
    try:
        NECKS[neck.name](first, top if neck.coarse == "pool" else FEATURE_LEVELS[-1])
    except ValueError as error:
        raise UsageError(
            f"config.model.neck.name={neck.name}: {error}; change config.model.levels "
            "or the neck"
        ) from error


def lookup(config: ConfigDict, key: str) -> Any:
    """Returns the value at a dotted key such as `model.neck.width`."""
    value: Any = config
    for name in key.split("."):
        value = value[name]
    return value


def validate(config: ConfigDict) -> None:
    """Checks what can be checked before any device or file is touched.

    Raises:
      UsageError: naming key, value and remedy.
    """
    _check_task(config)
    _check_scaling(config)
    _check_reference(config)
    for key, choices in CHOICES.items():
        if has_key(config, key) and lookup(config, key) not in choices:
            raise UsageError(
                f"config.{key}={lookup(config, key)} is not known: use one of "
                f"{', '.join(choices)}"
            )
    _check_backbone(config)
    if len(config.image_size) != 2:
        raise UsageError(
            f"config.image_size={tuple(config.image_size)} is not a height and a width:"
            " write --config.image_size='(512,640)'"
        )
    for key, (lowest, highest) in LIMITS.items():
        if not has_key(config, key):
            continue
        value = lookup(config, key)
        if not lowest <= value <= highest:
            limits = (
                f"{lowest} or more" if highest == _ANY else f"{lowest} to {highest}"
            )
            raise UsageError(
                f"config.{key}={value} is out of range: set it to {limits}"
            )
    for key, (what, highest) in RANGES.items():
        if has_key(config, key):
            _check_range(config, key, what, highest)
    _check_parts(config)
    if config.task == "detection":
        _check_levels(config)
    else:
        _check_classifier(config)


def _check_parts(config: ConfigDict) -> None:
    if config.batch_size % config.accumulate:
        raise UsageError(
            f"config.accumulate={config.accumulate} does not divide "
            f"config.batch_size={config.batch_size}: use a divisor of the batch"
        )


def _check_levels(config: ConfigDict) -> None:
    first, top = config.model.levels
    if first not in FEATURE_LEVELS or top < FEATURE_LEVELS[-1]:
        raise UsageError(
            f"config.model.levels={(first, top)} do not suit the backbone: start at "
            f"one of {FEATURE_LEVELS[0]} to {FEATURE_LEVELS[-1]} and end at "
            f"{FEATURE_LEVELS[-1]} or above"
        )
    _check_neck(config.model.neck, first, top)
    if min(config.image_size) < 2**top:
        raise UsageError(
            f"config.image_size={tuple(config.image_size)} is smaller than the stride "
            f"{2**top} of the top level {top}: use at least {2**top} or fewer levels "
            "(config.model.levels)"
        )


def _check_classifier(config: ConfigDict) -> None:
    if config.model.backbone.name != "efficientnet":
        raise UsageError(
            f"config.model.backbone.name={config.model.backbone.name} has no classifier"
            " here: use efficientnet"
        )
    stride = 2 ** FEATURE_LEVELS[-1]
    if min(config.image_size) < stride:
        raise UsageError(
            f"config.image_size={tuple(config.image_size)} is smaller than a cell of "
            f"the last feature: use at least {stride}"
        )


def _check_range(config: ConfigDict, key: str, what: str, highest: float) -> None:
    """Checks a smallest and a largest value, both above zero."""
    values = tuple(lookup(config, key))
    if len(values) != 2 or not 0 < values[0] <= values[1] <= highest:
        most = "" if highest == _ANY else f", at most {highest:g}"
        raise UsageError(
            f"config.{key}={values} is no range of {what}: write smallest and "
            f"largest{most}, such as --config.{key}='(0.5,1)'"
        )


_ANY = math.inf
LIMITS: Mapping[str, tuple[float, float]] = {
    "batch_size": (1, _ANY),
    "accumulate": (1, _ANY),
    "steps": (1, _ANY),
    "log_every": (1, _ANY),
    "ema_decay": (0, 1),
    "assign.match_iou": (1e-6, 1),
    "assign.ignore_coverage": (1e-6, _ANY),
    "foreground_prior": (1e-6, 0.5),
    "l2_loss": (0, _ANY),
    "loss.alpha": (0, 1),
    "loss.gamma": (0, _ANY),
    "loss.label_smoothing": (0, 0.99),
    "loss.negatives_per_positive": (0, _ANY),
    "loss.delta": (1e-6, _ANY),
    "loss.box_weight": (0, _ANY),
    "class_weights.beta": (0, 1 - 1e-9),
    "model.num_classes": (0, _ANY),
    "model.dropout": (0, 0.99),
    "model.neck.width": (1, _ANY),
    "model.neck.repeats": (1, _ANY),
    "model.head.repeats": (0, _ANY),
    "model.anchors.octaves": (1, _ANY),
    "optimizer.reference_batch": (1, _ANY),
    "optimizer.warmup_steps": (0, _ANY),
    "data.max_boxes": (1, _ANY),
    "data.min_visible": (0, 1),
    "data.num_threads": (0, _ANY),
    "data.num_workers": (0, _ANY),
    "data.max_broken": (0, 1),
    "data.augment.crop": (0, 1),
    "data.augment.colour.brightness": (0, 1),
    "data.augment.colour.contrast": (0, 1),
    "data.augment.colour.saturation": (0, 1),
    "data.augment.colour.hue": (0, 0.5),
    "data.augment.mosaic": (0, 1),
    "data.augment.mixup": (0, 1),
    "data.augment.mixup_beta": (1e-3, _ANY),
    "data.sampling.threshold": (1e-6, 1),
    "data.crop_padding": (0, _ANY),
    "postprocess.max_candidates": (0, _ANY),
    "postprocess.iou_threshold": (0, 1),
    "postprocess.sigma": (1e-6, _ANY),
    "postprocess.score_threshold": (0, 1),
    "postprocess.max_detections": (1, _ANY),
    "eval.every": (1, _ANY),
    "eval.batch_size": (1, _ANY),
    "eval.pictures": (0, _ANY),
    "checkpoint.every": (1, _ANY),
    "checkpoint.minutes": (0, _ANY),
    "checkpoint.keep": (1, _ANY),
    "max_skipped": (0, _ANY),
}
"""Smallest and largest value of what would fail late, or silently mean nothing."""

RANGES: Mapping[str, tuple[str, float]] = {
    "data.jitter": ("scales", _ANY),
    "data.augment.crop_side": ("shares of a side", 1),
    "data.crop_area": ("shares of the area", 1),
    "data.crop_aspect": ("aspects", _ANY),
}
"""Pairs of a smallest and a largest value above 0: of what, and the most it may be."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "model.backbone.name": tuple(BACKBONES),
    "model.neck.name": tuple(NECKS),
    "model.neck.fusion": FUSIONS,
    "model.neck.coarse": COARSE,
    "model.conv": tuple(CONVS),
    "model.norm": tuple(NORMS),
    "model.activation": tuple(ACTIVATIONS),
    "model.padding": PADDINGS,
    "model.dtype": ("float32", "bfloat16"),
    "model.remat": tuple(REMATS),
    "loss.class_loss": tuple(CLASS_LOSSES),
    "loss.box_loss": tuple(BOX_LOSSES),
    "class_weights.name": ("none", *WEIGHTINGS),
    "optimizer.schedule": tuple(SCHEDULES),
    "optimizer.name": tuple(DIRECTIONS),
    "data.resize": tuple(RESIZES),
    "data.pad_colour": tuple(PAD_COLOURS),
    "data.sampling.name": ("none", *SAMPLINGS),
    "postprocess.candidates": tuple(CANDIDATES),
    "postprocess.method": tuple(METHODS),
    "postprocess.clip": CLIPS,
    "checkpoint.if_it_fails": IF_NOT_SAVED,
}


def _check_scaling(config: ConfigDict) -> None:
    source, phi = config.scaling.source, config.scaling.phi
    sources, derived, experiment = _SCALINGS[config.task]
    if source == FREE:
        return
    if source not in sources:
        raise UsageError(
            f"config.scaling.source={source} is not known: use one of "
            f"{', '.join([*sources, FREE])}"
        )
    for key, expected in derived(sources[source](phi)).items():
        if (found := lookup(config, key)) != expected:
            raise UsageError(
                f"config.{key}={found} contradicts phi={phi} of the {source}, which "
                f"sets it to {expected}: give phi to the config file instead "
                f"({experiment}), or take every size into your own hands with "
                f"--config.scaling.source={FREE}"
            )


def _check_reference(config: ConfigDict) -> None:
    reference = config.reference
    if reference == FREE:
        return
    if reference not in REFERENCES:
        raise UsageError(
            f"config.reference={reference} is not known: use one of "
            f"{', '.join([*REFERENCES, FREE])}"
        )
    for key, expected in REFERENCES[reference].items():
        if has_key(config, key) and (found := lookup(config, key)) != expected:
            raise UsageError(
                f"config.{key}={found} contradicts the reference {reference}, which "
                f"has {expected}: its weights would give other numbers. To have it "
                f"your way say --config.reference={FREE}"
            )


def check_devices(config: ConfigDict, num_devices: int) -> None:
    """Checks that every device gets as many images as the others, of each part.

    Raises:
      UsageError: naming key, value and remedy.
    """
    for key in ("batch_size", "eval.batch_size"):
        if (size := lookup(config, key)) % num_devices:
            raise UsageError(
                f"config.{key}={size} is not divisible by the {num_devices} devices: "
                f"use a multiple of {num_devices}"
            )
    images = config.batch_size // num_devices
    if images % config.accumulate:
        raise UsageError(
            f"config.accumulate={config.accumulate} does not divide the {images} images"
            f" that each of the {num_devices} devices has of config.batch_size="
            f"{config.batch_size}: use a divisor of {images}, or a batch that is a "
            f"multiple of {config.accumulate * num_devices}"
        )
