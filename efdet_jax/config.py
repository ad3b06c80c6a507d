"""Every knob of a run, once, with its meaning, unit and source.

A section is the keyword arguments of one callable, so that an unknown key cannot exist
and a knob cannot be dead. phi is an argument of `get_config`, not something to change
afterwards: sizes have been derived from it by then, and `validate` holds them to it.
"""

import math
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from efdet_jax import scaling
from efdet_jax.errors import UsageError
from efdet_jax.models.detector import BACKBONES
from efdet_jax.models.efficientnet import FEATURE_LEVELS
from efdet_jax.models.necks import FUSIONS, NECKS
from efdet_jax.optim import DIRECTIONS

FREE = "free"
"""The scaling source of a config whose sizes follow no phi."""

_BATCH = 128
_EPOCH = 118_287 // _BATCH
"""Steps that take the published batch once through COCO's train2017."""


def get_config(source: str, phi: float | str) -> ConfigDict:
    """Returns the published recipe for COCO at the size that `phi` has in `source`.

    Source: EfficientDet section 5.1, and google/automl where that says nothing.

    Args:
      source: "table" (phi 0..7 or "7x") or "law" (any real phi).
      phi: EfficientDet's compound coefficient.
    """
    size = scaling.SOURCES[source](phi)
    config = ConfigDict()
    config.seed = 0
    # Where the sizes below come from. With source "free" they are yours to set.
    config.scaling = ConfigDict({"source": source, "phi": phi})
    config.image_size = (size.image_size, size.image_size)  # height, width; pixels
    config.model = _model(size)
    config.anchors = ConfigDict(
        {
            "scale": size.anchor_scale,  # smallest anchor's side over its cell's
            "octaves": 3,  # sizes per level: 2^(0, 1/3, 2/3)
            "aspect_ratios": (1.0, 2.0, 0.5),  # width over height
        }
    )
    config.assign = ConfigDict({"match_iou": 0.5})
    config.foreground_prior = 0.01  # RetinaNet's pi: first score of every anchor
    config.loss = ConfigDict(
        {
            "alpha": 0.25,  # focal loss: weight of positives
            "gamma": 1.5,  # focal loss: how much easy anchors fade
            "label_smoothing": 0.0,
            "delta": 0.1,  # Huber loss: where squares become lines, in code units
            "box_weight": 50.0,
        }
    )
    config.optimizer = ConfigDict(
        {
            "name": "sgd",  # sgd (with momentum) or adamw
            "learning_rate": 0.08,  # at `reference_batch`; scaled with the batch
            "reference_batch": 64,
            "warmup_steps": _EPOCH,
            "warmup_start": 0.1,  # share of the learning rate at step 0
            "momentum": 0.9,  # of adamw: beta1
            "decoupled_weight_decay": 0.0,  # taken off kernels, scaled by the rate
            "clip_norm": 10.0,  # of the whole gradient
        }
    )
    config.l2_loss = 4e-5  # weight decay as the reference has it: a part of the loss
    config.ema_decay = 0.9998  # of parameters and BatchNorm statistics; 0 is none
    config.batch_size = _BATCH  # images per step over all devices
    config.steps = 300 * _EPOCH
    config.data = ConfigDict(
        {
            "train": "tfds:coco/2017,train",  # coco:JSON,IMAGES voc:DIR,SPLIT DIR,SPLIT
            "val": "tfds:coco/2017,validation",
            "max_boxes": 100,  # ground-truth rows per training image
            "flip": True,
            "jitter": (0.1, 2.0),  # random scale, as a share of the image size
            "num_threads": 16,  # that read and transform images
            "shapes": _shapes(),
        }
    )
    config.postprocess = ConfigDict(
        {
            "max_candidates": 5000,  # (anchor, class) pairs that enter NMS
            "max_detections": 100,
            "iou_threshold": 0.5,
            "score_threshold": 0.001,
        }
    )
    config.eval = ConfigDict(
        {"every": 5 * _EPOCH, "batch_size": _BATCH, "pictures": 16}
    )
    config.checkpoint = ConfigDict({"every": _EPOCH, "keep": 2})
    config.log_every = 100
    return config.lock()


def get_small_config(phi: float) -> ConfigDict:
    """Returns a recipe for minutes on a few CPU cores: the law at a negative phi.

    The published recipe needs hundreds of epochs to leave its first plateau. Here Adam
    takes the first steps, averages forget within some hundred steps, and the learning
    rate is stated for the batch that is used.
    """
    config = get_config("law", phi)
    config.batch_size = config.optimizer.reference_batch = 16
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 50
    config.l2_loss = 0.0
    config.ema_decay = 0.99
    config.model.batch_norm.momentum = 0.95
    config.postprocess.max_candidates = 1000
    config.eval.batch_size = 16
    config.log_every = 25
    config.data.num_threads = 2
    return config


def _model(size: scaling.DetectorSize) -> ConfigDict:
    """Returns the arguments of `models.detector.Detector` but `num_anchors`."""
    return ConfigDict(
        {
            # 0: as many as the data has, numbered without gaps. Otherwise the
            # published convention: class id i of the data is output i - 1.
            "num_classes": 0,
            "levels": (3, size.max_level),
            "dtype": "float32",  # of activations
            "backbone": {
                "name": "efficientnet",
                "width": size.backbone_width,  # multiplies B0's channels
                "depth": size.backbone_depth,  # multiplies B0's blocks
                # Of the last block; B0 has no drop path.
                "survival_prob": 1.0 if size.backbone_depth <= 1 else 0.8,
            },
            "neck": {
                "name": "bifpn",
                "width": size.neck_width,
                "repeats": size.neck_repeats,
                "fusion": size.fusion,
            },
            "head": {"repeats": size.head_repeats},
            "batch_norm": {"momentum": 0.99, "epsilon": 1e-3},
        }
    )


def _shapes() -> ConfigDict:
    """Returns the arguments of `data.shapes.Shapes`, used by "shapes:" sources."""
    return ConfigDict(
        {
            "seed": 0,
            "num_train": 16384,
            "num_val": 256,
            "num_classes": 8,
            "min_objects": 1,
            "max_objects": 4,
            "min_size": 0.15,  # of an object, as a share of the shorter image side
            "max_size": 0.7,
            "clutter": 0.2,  # 0..1
            "overlap": 0.2,  # largest IoU of two objects
        }
    )


def derived_sizes(size: scaling.DetectorSize) -> dict[str, object]:
    """Returns {config key: value} for every key that phi decides."""
    return {
        "image_size": (size.image_size, size.image_size),
        "model.levels": (3, size.max_level),
        "model.backbone.width": size.backbone_width,
        "model.backbone.depth": size.backbone_depth,
        "model.neck.width": size.neck_width,
        "model.neck.repeats": size.neck_repeats,
        "model.neck.fusion": size.fusion,
        "model.head.repeats": size.head_repeats,
        "anchors.scale": size.anchor_scale,
    }


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
    _check_scaling(config)
    if len(config.image_size) != 2:
        raise UsageError(
            f"config.image_size={tuple(config.image_size)} is not a height and a width:"
            " write --config.image_size='(512,640)'"
        )
    for key, (lowest, highest) in LIMITS.items():
        value = lookup(config, key)
        if not lowest <= value <= highest:
            limits = (
                f"{lowest} or more" if highest == _ANY else f"{lowest} to {highest}"
            )
            raise UsageError(
                f"config.{key}={value} is out of range: set it to {limits}"
            )
    first, top = config.model.levels
    if first != FEATURE_LEVELS[0] or top < FEATURE_LEVELS[-1]:
        raise UsageError(
            f"config.model.levels={(first, top)} do not suit the backbone: start at "
            f"{FEATURE_LEVELS[0]} and end at {FEATURE_LEVELS[-1]} or above"
        )
    if min(config.image_size) < 2**top:
        raise UsageError(
            f"config.image_size={tuple(config.image_size)} is smaller than the stride "
            f"{2**top} of the top level {top}: use at least {2**top} or fewer levels "
            "(config.model.levels)"
        )
    jitter = tuple(config.data.jitter)
    if len(jitter) != 2 or not 0 < jitter[0] <= jitter[1]:
        raise UsageError(
            f"config.data.jitter={jitter} is no range of scales: write smallest and "
            "largest, such as --config.data.jitter='(0.5,1.5)'"
        )
    for key, choices in CHOICES.items():
        if lookup(config, key) not in choices:
            raise UsageError(
                f"config.{key}={lookup(config, key)} is not known: use one of "
                f"{', '.join(choices)}"
            )


_ANY = math.inf
LIMITS: Mapping[str, tuple[float, float]] = {
    "batch_size": (1, _ANY),
    "steps": (1, _ANY),
    "log_every": (1, _ANY),
    "ema_decay": (0, 1),
    "foreground_prior": (1e-6, 0.5),
    "l2_loss": (0, _ANY),
    "model.num_classes": (0, _ANY),
    "model.neck.width": (1, _ANY),
    "model.neck.repeats": (1, _ANY),
    "model.head.repeats": (0, _ANY),
    "model.backbone.survival_prob": (0.01, 1),
    "anchors.octaves": (1, _ANY),
    "optimizer.reference_batch": (1, _ANY),
    "optimizer.warmup_steps": (0, _ANY),
    "data.max_boxes": (1, _ANY),
    "data.num_threads": (0, _ANY),
    "postprocess.max_candidates": (1, _ANY),
    "postprocess.max_detections": (1, _ANY),
    "eval.every": (1, _ANY),
    "eval.batch_size": (1, _ANY),
    "eval.pictures": (0, _ANY),
    "checkpoint.every": (1, _ANY),
    "checkpoint.keep": (1, _ANY),
}
"""Smallest and largest value of what would fail late, or silently mean nothing."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "model.backbone.name": tuple(BACKBONES),
    "model.neck.name": tuple(NECKS),
    "model.neck.fusion": FUSIONS,
    "model.dtype": ("float32", "bfloat16"),
    "optimizer.name": tuple(DIRECTIONS),
}


def _check_scaling(config: ConfigDict) -> None:
    source, phi = config.scaling.source, config.scaling.phi
    if source == FREE:
        return
    if source not in scaling.SOURCES:
        raise UsageError(
            f"config.scaling.source={source} is not known: use one of "
            f"{', '.join([*scaling.SOURCES, FREE])}"
        )
    for key, expected in derived_sizes(scaling.SOURCES[source](phi)).items():
        if (found := lookup(config, key)) != expected:
            raise UsageError(
                f"config.{key}={found} contradicts phi={phi} of the {source}, which "
                f"sets it to {expected}: give phi to the config file instead "
                "(experiments/phi.py:PHI), or take every size into your own hands with "
                f"--config.scaling.source={FREE}"
            )


def check_devices(config: ConfigDict, num_devices: int) -> None:
    """Checks that every device gets as many images as the others.

    Raises:
      UsageError: naming key, value and remedy.
    """
    for key in ("batch_size", "eval.batch_size"):
        if (size := lookup(config, key)) % num_devices:
            raise UsageError(
                f"config.{key}={size} is not divisible by the {num_devices} devices: "
                f"use a multiple of {num_devices}"
            )
