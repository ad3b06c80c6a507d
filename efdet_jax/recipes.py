"""Other recipes than the published one, each a whole config."""

from ml_collections import ConfigDict

from efdet_jax.config import FREE, get_config
from efdet_jax.errors import UsageError

MODELS: dict[str, tuple[str, int | str]] = {
    f"{prefix}{phi}": (source, phi)
    for prefix, source, phis in (
        ("d", "table", (0, 1, 2, 3, 4, 5, 6, 7, "7x")),
        ("lite", "lite", (0, 1, 2, 3, "3x", 4)),
    )
    for phi in phis
}
"""(scaling source, phi) of the published detectors by their names."""

EFFDET_MODELS: dict[str, tuple[str, str]] = {
    **{f"tf_efficientdet_{model}": (model, "automl") for model in MODELS},
    **{f"efficientdet_d{phi}": (f"d{phi}", "effdet") for phi in range(4)},
}
"""(model, reference) of effdet's models by its names for them."""


IMBALANCE: dict[str, dict[str, object]] = {
    "ce": {"loss.class_loss": "cross_entropy"},
    "balanced_ce": {"loss.class_loss": "balanced_cross_entropy"},
    "inverse_frequency": {
        "loss.class_loss": "cross_entropy",
        "class_weights.name": "inverse_frequency",
    },
    "effective_number": {
        "loss.class_loss": "cross_entropy",
        "class_weights.name": "effective_number",
        "class_weights.beta": 0.999,
    },
    "focal": {},
    "ohem": {"loss.class_loss": "ohem"},
    "oversampling": {
        "data.sampling.name": "oversampling",
        "data.sampling.threshold": 0.3,
    },
    "undersampling": {
        "data.sampling.name": "undersampling",
        "data.sampling.threshold": 0.1,
    },
}
"""What is done about imbalance: by the loss, or, with focal loss, by the sampling."""


def get_small_config(phi: float) -> ConfigDict:
    """Returns a recipe for minutes on a few CPU cores: the law at a negative phi."""
    config = get_config("law", phi)
    _train_for_minutes(config)
    return config


def get_shapes_config(phi: float) -> ConfigDict:
    """Returns a small recipe on drawn shapes: four classes, up to three large ones."""
    config = get_small_config(phi)
    config.steps = 700
    config.data.train = "shapes:train"
    config.data.val = "shapes:val"
    config.data.jitter = (1.0, 1.0)
    config.data.max_boxes = 8
    config.data.num_threads = 1
    config.data.shapes.num_classes = 4
    config.data.shapes.max_objects = 3
    config.data.shapes.min_size = 0.25
    config.data.shapes.clutter = 0.1
    config.eval.every = config.checkpoint.every = 350
    return config


def get_memory_config(config: ConfigDict) -> ConfigDict:
    """Returns how a detector learns eight drawn images by heart: whether it trains.

    The images are one cell of the coarsest level: 64 pixels, with a NAS-FPN 128.

    Args:
      config: of the detector.
    """
    # A NAS-FPN has one table, for five levels.
    top_level = 7 if config.model.neck.name == "nas_fpn" else 6
    config = config.copy_and_resolve_references()
    config.scaling.source = config.reference = FREE
    config.model.levels = (config.model.levels[0], top_level)
    config.image_size = (2**top_level, 2**top_level)
    _train_for_minutes(config)
    config.model.num_classes = 0
    if "survival_prob" in config.model.backbone:
        config.model.backbone.survival_prob = 1.0
    config.loss = get_config("table", 0).loss
    config.batch_size = config.optimizer.reference_batch = config.eval.batch_size = 8
    config.optimizer.learning_rate = 0.015
    config.steps = 250
    config.data.train = config.data.val = "shapes:train"
    config.data.flip = False
    config.data.jitter = (1.0, 1.0)
    config.data.max_boxes = 8
    config.data.shapes.num_train = 8
    config.data.shapes.num_classes = 2
    config.data.shapes.max_objects = 2
    config.data.shapes.min_size = 0.5
    config.eval.every = config.checkpoint.every = config.steps
    return config


def _train_for_minutes(config: ConfigDict) -> None:
    """Sets what trains a network in hundreds of steps, not of epochs.

    Adam takes the first steps, averages forget within some hundred steps, and the
    learning rate is stated for the batch that is used.
    """
    config.batch_size = config.optimizer.reference_batch = 16
    config.optimizer.name = "adamw"
    config.optimizer.schedule = "cosine"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_start = 3e-4
    config.optimizer.warmup_steps = 50
    config.l2_loss = 0.0
    config.ema_decay = 0.99
    config.model.batch_norm.momentum = 0.95
    config.model.backbone.batch_norm.momentum = 0.95
    config.postprocess.method = "hard"
    config.postprocess.max_candidates = 1000
    config.eval.batch_size = 16
    config.log_every = 25
    config.data.num_threads = 2


def get_imbalance_config(name: str) -> ConfigDict:
    """Returns a small recipe on shapes of which some are fifty times as frequent.

    Args:
      name: what is done about it, a key of `IMBALANCE`.

    Raises:
      UsageError: there is no such name.
    """
    if name not in IMBALANCE:
        raise UsageError(
            f"imbalance row {name!r} is not known: use one of {', '.join(IMBALANCE)}"
        )
    config = get_shapes_config(-4.0)
    config.steps = 450
    config.data.shapes.num_train = 4096
    config.data.shapes.imbalance = 50.0
    config.eval.every = config.checkpoint.every = 225
    config.update_from_flattened_dict(IMBALANCE[name])
    return config


def get_lite_config(phi: int | str) -> ConfigDict:
    """Returns the published recipe of a Lite model, evaluated as TFLite's programs do.

    They stretch the image to the input, and suppress each anchor's best class together
    with all others.

    Args:
      phi: 0..4 or "3x".
    """
    config = get_config("lite", phi)
    config.model.num_classes = 90
    config.data.resize = "stretch"
    config.postprocess.method = "hard"
    config.postprocess.candidates = "best_class"
    config.postprocess.per_class = False
    return config


def get_finetune_config(model: str) -> ConfigDict:
    """Returns a recipe for weights that know much already, and some hundred images.

    Small steps of Adam. BatchNorm keeps the statistics of the weights: a small batch
    would estimate them badly, and those of a .tflite are folded away, so that they fit
    no activation.

    Args:
      model: a key of `MODELS`.

    Raises:
      UsageError: there is no such model.
    """
    if model not in MODELS:
        raise UsageError(
            f"model {model!r} is not known: use one of {', '.join(MODELS)}"
        )
    config = get_config(*MODELS[model])
    config.model.frozen.batch_norm = True
    config.model.backbone.survival_prob = 1.0
    config.batch_size = config.optimizer.reference_batch = 8
    config.steps = 400
    config.optimizer.name = "adamw"
    config.optimizer.schedule = "cosine"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_start = 1e-4
    config.optimizer.warmup_steps = 50
    config.l2_loss = 0.0
    config.ema_decay = 0.99
    config.data.jitter = (0.7, 1.4)
    config.data.num_threads = 2
    config.eval.batch_size = 8
    config.eval.every = 200
    config.checkpoint.every = 200
    config.log_every = 25
    return config


def get_effdet_config(name: str) -> ConfigDict:
    """Returns the published recipe with a model as effdet has it.

    Its BatchNorm statistics forget faster in the backbone than elsewhere, its anchors
    have rounded sides, it scales the pixels of Lite to exactly -1..1, and it suppresses
    hard, what it has clipped.

    Args:
      name: effdet's, a key of `EFFDET_MODELS`.

    Raises:
      UsageError: there is no such model.
    """
    if name not in EFFDET_MODELS:
        raise UsageError(
            f"effdet's model {name!r} is not known: use one of "
            f"{', '.join(EFFDET_MODELS)}"
        )
    model, reference = EFFDET_MODELS[name]
    config = get_config(*MODELS[model], reference=reference)
    config.model.num_classes = 90
    config.model.backbone.batch_norm.momentum = 0.9
    config.model.anchors.aspect_ratios = ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4))
    config.postprocess.method = "hard"
    config.postprocess.clip = "before"
    if config.scaling.source == "lite":
        config.normalise.mean = config.normalise.stddev = (127.5,) * 3
    return config
