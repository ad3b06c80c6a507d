"""Every knob of a run, once, with its meaning, unit and source.

A section is the keyword arguments of one callable, so that an unknown key cannot exist
and a knob cannot be dead. phi is an argument of `get_config`, not something to change
afterwards: sizes have been derived from it by then, and `validate` holds them to it.
"""

from collections.abc import Mapping

from ml_collections import ConfigDict

from efdet_jax import scaling

FREE = "free"
"""The scaling source of a config whose sizes follow no phi, and the reference of one
whose layers follow nobody's."""

IMAGENET = {"mean": (123.675, 116.28, 103.53), "stddev": (58.395, 57.12, 57.375)}
LITE = {"mean": (127.0,) * 3, "stddev": (128.0,) * 3}
"""Pixels, 0..255, as the published weights expect them."""

REFERENCES: Mapping[str, Mapping[str, object]] = {
    "automl": {
        "model.padding": "same",
        "model.conv_bias": True,
        "model.batch_norm.epsilon": 1e-3,
        "model.backbone.batch_norm.epsilon": 1e-3,
    },
    "effdet": {
        "model.padding": "symmetric",
        "model.conv_bias": False,
        "model.batch_norm.epsilon": 1e-3,
        "model.backbone.batch_norm.epsilon": 1e-5,
    },
}
"""What published weights depend on beyond sizes, by the implementation that has it so.

"automl" is google/automl, and effdet's tf_efficientdet_*, which carry its weights over.
"effdet" is effdet's own efficientdet_d0 to d3, without tf_.
"""

_BATCH = 128
_EPOCH = 118_287 // _BATCH
"""Steps that take the published batch once through COCO's train2017."""


def get_config(
    source: str, phi: float | str, *, reference: str = "automl"
) -> ConfigDict:
    """Returns the published recipe for COCO at the size that `phi` has in `source`.

    Source: EfficientDet section 5.1, and google/automl where that says nothing.

    Args:
      source: "table" (phi 0..7 or "7x"), "lite" (0..4 or "3x") or "law" (any real phi).
      phi: EfficientDet's compound coefficient.
      reference: whose layers, a key of `REFERENCES`.
    """
    size = scaling.SOURCES[source](phi)
    config = ConfigDict()
    config.task = "detection"  # a key of models.networks.NETWORKS; never to be changed
    config.seed = 0
    # Where the sizes below come from. With source "free" they are yours to set.
    config.scaling = ConfigDict({"source": source, "phi": phi})
    # Whose padding, biases and epsilons. With "free" they are yours to set.
    config.reference = reference
    # Weights to start from: a published file, or a workdir of ours. Not for resuming,
    # which needs no flag.
    config.init_from = ""
    config.init_from_ignore = ""  # pattern of parameter paths to start afresh
    config.init_from_shared_classes = False  # keep predictors of classes by name
    config.image_size = (size.image_size, size.image_size)  # height, width; pixels
    config.normalise = ConfigDict(LITE if size.lite else IMAGENET)
    config.model = _model(size)
    config.assign = ConfigDict(
        {
            "match_iou": 0.5,  # of an anchor and its object
            # Share of an anchor in a crowd from which it is ignored; 2 ignores none,
            # as the reference, for which crowds are background.
            "ignore_coverage": 0.5,
        }
    )
    config.foreground_prior = 0.01  # RetinaNet's pi: first score of every anchor
    config.loss = ConfigDict(
        {
            # focal, cross_entropy, balanced_cross_entropy or ohem
            "class_loss": "focal",
            "alpha": 0.25,  # focal and balanced: weight of positives
            "gamma": 1.5,  # focal: how much easy anchors fade
            "label_smoothing": 0.0,
            "negatives_per_positive": 3.0,  # ohem: hardest anchors kept
            "box_loss": "huber",  # or smooth_l1: that divided by delta
            "delta": 0.1,  # where squares become lines, in code units
            "box_weight": 50.0,
        }
    )
    # What an object weighs in the loss of classes, by how often its class occurs.
    config.class_weights = ConfigDict(
        {
            "name": "none",  # or inverse_frequency, effective_number
            "beta": 0.9999,  # effective_number: 0 is no weighting, 1 inverse frequency
        }
    )
    config.optimizer = ConfigDict(
        {
            "name": "sgd",  # sgd (with momentum) or adamw
            "schedule": "automl_cosine",  # a key of optim.SCHEDULES
            "learning_rate": 0.08,  # at `reference_batch`; scaled with the batch
            "reference_batch": 64,
            "warmup_steps": _EPOCH,
            "warmup_start": 0.008,  # learning rate at step 0, whatever the batch
            "momentum": 0.9,  # of adamw: beta1
            "decoupled_weight_decay": 0.0,  # taken off kernels, scaled by the rate
            "clip_norm": 10.0,  # of the whole gradient
        }
    )
    config.l2_loss = 4e-5  # weight decay as the reference has it: a part of the loss
    config.ema_decay = 0.9998  # of parameters and BatchNorm statistics; 0 is none
    config.batch_size = _BATCH  # images per step over all devices
    # Parts that a step sees them in, one after the other, in the memory of one part.
    config.accumulate = 1
    config.steps = 300 * _EPOCH
    config.data = ConfigDict(
        {
            "train": "tfds:coco/2017,train",  # coco:JSON,IMAGES voc:DIR,SPLIT DIR,SPLIT
            "val": "tfds:coco/2017,validation",
            "resize": "letterbox",  # aspect kept, or "stretch": each axis fills it
            "pad_colour": "mean",  # around images: that of normalise, or "grey"
            "max_boxes": 100,  # ground-truth rows per training image
            "flip": True,
            # Random scale, as a share of the image size; (0.8, 1.25) is the standard,
            # this the large scale jitter.
            "jitter": (0.1, 2.0),
            "min_visible": 0.0,  # share of a box that cuts must leave, or it goes
            "augment": _augment(),
            "max_broken": 0.01,  # share of training images that may be unreadable
            "num_threads": 16,  # that read and transform images
            "num_workers": 0,  # processes that have these threads each; 0 is none
            # How often an epoch shows an image, by how often its classes occur.
            "sampling": {
                "name": "none",  # or oversampling, undersampling
                "threshold": 1e-3,  # share of images from which a class is frequent
            },
            "shapes": shapes_section(),
        }
    )
    # As google/automl evaluates: soft, per class, without clipping. Its ready-made
    # model for users takes each anchor's best class, all classes together, clipped.
    config.postprocess = ConfigDict(
        {
            "candidates": "pairs",  # of (anchor, class), or each anchor's "best_class"
            "max_candidates": 5000,  # with the highest scores; 0 is all
            "per_class": True,  # only boxes of one class suppress each other
            "method": "gaussian",  # or "linear", soft suppression as well, or "hard"
            "iou_threshold": 0.5,  # of "hard" and "linear"
            "sigma": 0.5,  # of "gaussian"; twice that of TensorFlow's operation
            "score_threshold": 0.001,  # what scores above it is kept
            "max_detections": 100,
            "clip": "never",  # to the input: "never", "before", "after" suppression
        }
    )
    config.eval = ConfigDict(
        {"every": 5 * _EPOCH, "batch_size": _BATCH, "pictures": 16}
    )
    config.checkpoint = checkpoint_section(_EPOCH)
    config.max_skipped = MAX_SKIPPED
    config.log_every = 100
    config.update_from_flattened_dict(REFERENCES[reference])
    return config.lock()


MAX_SKIPPED = 10
"""Steps in a row whose loss or gradient may be not finite; one more ends the run."""


IF_NOT_SAVED = ("stop", "go on")
"""What a run does when a checkpoint cannot be written."""


def checkpoint_section(every: int) -> ConfigDict:
    """Returns when checkpoints are written, each `every` steps, and what is kept."""
    return ConfigDict(
        {
            "every": every,  # steps; and at every evaluation that is the best so far
            "minutes": 0.0,  # since the last one; 0 is never
            "keep": 2,  # the newest; the best is kept beside them
            "if_it_fails": "stop",  # when the disk is full; or "go on" to the next
        }
    )


def has_key(config: ConfigDict, key: str) -> bool:
    """Says whether there is a dotted key such as `model.neck.width`."""
    section, _, rest = key.partition(".")
    return section in config and (not rest or has_key(config[section], rest))


def _model(size: scaling.DetectorSize) -> ConfigDict:
    """Returns what `models.create` makes a detector of."""
    batch_norm = {"momentum": 0.99, "epsilon": 1e-3}
    return ConfigDict(
        {
            # 0: as many as the training data has, numbered without gaps. 90, 80: those
            # of COCO with or without its unused ids. Otherwise id i is output i - 1.
            "num_classes": 0,
            "levels": (3, size.max_level),
            "anchors": {
                "scale": size.anchor_scale,  # smallest anchor's side over its cell's
                "octaves": 3,  # sizes per level: 2^(0, 1/3, 2/3)
                "aspect_ratios": (1.0, 2.0, 0.5),  # width over height, or pairs
            },
            "dtype": "float32",  # of activations
            # What is computed twice rather than kept: "none", or "blocks".
            "remat": "none",
            "activation": "relu6" if size.lite else "silu",
            "padding": "same",  # TensorFlow's, or "symmetric", PyTorch's
            # Of neck and heads: 3 x 3 convolutions "separable" or "full", a norm after
            # them or "none", biases in front of a norm.
            "conv": "separable",
            "norm": "batch",
            "conv_bias": True,
            "backbone": {
                "name": "efficientnet",
                "width": size.backbone_width,  # multiplies B0's channels
                "depth": size.backbone_depth,  # multiplies B0's blocks
                "lite": size.lite,  # EfficientNet-Lite
                # Of the last block; B0 has no drop path, Lite0 has.
                "survival_prob": 0.8 if size.backbone_depth > 1 or size.lite else 1.0,
                "batch_norm": dict(batch_norm),
            },
            "neck": {
                "name": "bifpn",
                "width": size.neck_width,
                "repeats": size.neck_repeats,
                "fusion": size.fusion,
                "coarse": "pool",  # levels from 6: "pool", "conv_c5", "conv_p5"
                "has_activation": True,  # before the convolutions of nodes
            },
            "head": {"repeats": size.head_repeats},
            "batch_norm": batch_norm,  # of neck and heads
            # What training leaves as it is: the whole backbone; every BatchNorm's
            # statistics (their scales and biases are trained).
            "frozen": {"backbone": False, "batch_norm": False},
        }
    )


def _augment() -> ConfigDict:
    """Returns what may happen to training images besides flip and scale jitter."""
    return ConfigDict(
        {
            "crop": 0.0,  # probability of a random window
            "crop_side": (0.5, 1.0),  # its height and width, as shares of the image's
            "colour": {  # strengths; all 0 is off
                "brightness": 0.0,  # 0..1
                "contrast": 0.0,  # 0..1
                "saturation": 0.0,  # 0..1
                "hue": 0.0,  # 0..0.5, share of the circle
            },
            "mosaic": 0.0,  # probability of four images in one
            "mixup": 0.0,  # probability of another image laid over
            "mixup_beta": 32.0,  # both shares near one half, so that both are seen
        }
    )


def shapes_section() -> ConfigDict:
    """Returns the arguments of `data.shapes.Shapes`, used by "shapes:" sources."""
    return ConfigDict(
        {
            "seed": 0,
            "num_train": 16384,
            "num_val": 256,
            "num_classes": 8,
            "imbalance": 1.0,  # of training: objects of the first class over the last's
            "min_objects": 1,
            "max_objects": 4,
            "min_size": 0.15,  # of an object, as a share of the shorter image side
            "max_size": 0.7,
            "clutter": 0.2,  # 0..1
            "overlap": 0.2,  # largest IoU of two objects
        }
    )
