"""Every knob of a classifier's run, as `config` has those of a detector's.

A section is the keyword arguments of one callable here too. What `config` says of phi
and of sizes holds.
"""

from ml_collections import ConfigDict

from efdet_jax import scaling
from efdet_jax.config import (
    FREE,
    IMAGENET,
    MAX_SKIPPED,
    REFERENCES,
    checkpoint_section,
    has_key,
    shapes_section,
)

_BATCH = 256
_EPOCH = 1_281_167 // _BATCH  # steps


def get_classifier_config(
    source: str, phi: float | str, *, reference: str = "automl"
) -> ConfigDict:
    """Returns the recipe of a published EfficientNet on ImageNet, nearly.

    Differs: the published ones were trained by RMSProp, with AutoAugment, 4096 images
      at a time. Here it is momentum or Adam, as for detectors, and crops and mirrors;
      so expect a little less than their accuracy. No RMSProp is needed to use their
      weights, nor to train on from them.

    Source: EfficientNet (arXiv 1905.11946) section 5.2: epochs, L2, BatchNorm, dropout
      and survival; tensorflow/tpu, models/official/efficientnet, main.py and
      preprocessing.py: label smoothing, average, warm-up, crops. Rate and batch:
      arXiv 1706.02677.

    Args:
      source: "table" (phi 0..7) or "law" (any real phi).
      phi: EfficientNet's compound coefficient.
      reference: whose layers, a key of `config.REFERENCES`; "effdet" is timm's without
        tf_.
    """
    size = scaling.CLASSIFIER_SOURCES[source](phi)
    config = ConfigDict()
    config.task = "classification"
    config.seed = 0
    config.scaling = ConfigDict({"source": source, "phi": phi})
    config.reference = reference
    config.init_from = ""
    config.init_from_ignore = ""
    config.init_from_shared_classes = False
    config.image_size = (size.image_size, size.image_size)
    config.normalise = ConfigDict(IMAGENET)
    config.model = ConfigDict(
        {
            "num_classes": 0,
            "dtype": "float32",
            "remat": "none",
            "activation": "silu",
            "padding": "same",
            "backbone": {
                "name": "efficientnet",
                "width": size.backbone_width,
                "depth": size.backbone_depth,
                "lite": False,
                "survival_prob": 0.8,
                "batch_norm": {"momentum": 0.99, "epsilon": 1e-3},
            },
            "dropout": size.dropout,  # share of the last layer's inputs
            "frozen": {"backbone": False, "batch_norm": False},
        }
    )
    config.loss = ConfigDict({"label_smoothing": 0.1})
    config.optimizer = ConfigDict(
        {
            "name": "sgd",
            "schedule": "cosine",
            "learning_rate": 0.1,
            "reference_batch": 256,
            "warmup_steps": 5 * _EPOCH,
            "warmup_start": 0.0,
            "momentum": 0.9,
            "decoupled_weight_decay": 0.0,
            "clip_norm": 10.0,
        }
    )
    config.l2_loss = 1e-5
    config.ema_decay = 0.9999
    config.batch_size = _BATCH
    config.accumulate = 1
    config.steps = 350 * _EPOCH
    config.data = ConfigDict(
        {
            # Of what names a class for each image: tfds_classes:NAME,SPLIT crops:SPLIT
            "train": "tfds_classes:imagenet2012,train",
            "val": "tfds_classes:imagenet2012,validation",
            "crop_area": (0.08, 1.0),  # of random crops, as a share of the image
            "crop_aspect": (3 / 4, 4 / 3),  # width over height
            "crop_padding": 32,  # pixels of the input that evaluation cuts off
            "flip": True,
            "max_broken": 0.01,  # share of training images that may be unreadable
            "num_threads": 16,
            "num_workers": 0,  # processes that have these threads each; 0 is none
            "shapes": shapes_section(),
        }
    )
    config.eval = ConfigDict(
        {"every": 5 * _EPOCH, "batch_size": _BATCH, "pictures": 16}
    )
    config.checkpoint = checkpoint_section(_EPOCH)
    config.max_skipped = MAX_SKIPPED
    config.log_every = 100
    config.update_from_flattened_dict(
        {key: v for key, v in REFERENCES[reference].items() if has_key(config, key)}
    )
    return config.lock()


def get_small_classifier_config(
    width: float, depth: float, image_size: int
) -> ConfigDict:
    """Returns a recipe for minutes on a few CPU cores, on objects of drawn scenes.

    As for small detectors, Adam takes the first steps and averages forget within some
    hundred; few blocks need neither drop path nor dropout.

    Args:
      width: multiplies B0's channels.
      depth: multiplies B0's blocks.
      image_size: height and width, pixels.
    """
    config = get_classifier_config("table", 0)
    config.scaling.source = FREE
    config.image_size = (image_size, image_size)
    config.model.backbone.width = width
    config.model.backbone.depth = depth
    config.model.backbone.survival_prob = 1.0
    config.model.backbone.batch_norm.momentum = 0.95
    config.model.dropout = 0.0
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 4e-3
    config.optimizer.warmup_start = 4e-4
    config.optimizer.warmup_steps = 100
    config.batch_size = config.optimizer.reference_batch = 32
    config.steps = 800
    config.l2_loss = 0.0
    config.ema_decay = 0.99
    config.data.train = "crops:train"
    config.data.val = "crops:val"
    config.data.crop_area = (0.7, 1.0)
    config.data.crop_padding = 0
    config.data.num_threads = 1
    config.data.shapes.num_classes = 8
    config.data.shapes.num_val = 512
    config.data.shapes.max_objects = 2
    config.data.shapes.min_size = 0.3
    config.data.shapes.clutter = 0.1
    config.eval.batch_size = 32
    config.eval.every = config.checkpoint.every = 400
    config.log_every = 50
    return config
