"""The systems that EfficientDet is compared with, each a whole config."""

import functools
from collections.abc import Callable

from ml_collections import ConfigDict

from efdet_jax.config import FREE, get_config
from efdet_jax.errors import UsageError
from efdet_jax.models.fusion import CHOICES
from efdet_jax.models.necks import NECKS as TABLES

NECKS: dict[str, tuple[str, int, str]] = {
    "fpn": ("fpn", 12, "sum"),
    "panet": ("panet", 6, "sum"),
    "nas_fpn": ("nas_fpn", 6, "sum"),
    "dense_fpn": ("dense_fpn", 6, "sum"),
    "quad_fpn": ("quad_fpn", 3, "fast"),
    "bifpn": ("bifpn", 6, "fast"),
    "bifpn_unweighted": ("bifpn", 6, "sum"),
    "bifpn_without_edge": ("bifpn_without_edge", 6, "fast"),
    "bifpn_with_ends": ("bifpn_with_ends", 6, "fast"),
}
"""(table, cells, fusion) of a row of the comparison of necks.

With twice the cells an FPN has exactly the parameters and the work of the PANet, as in
EfficientDet's Table 5.
"""


FUSED_NECKS: tuple[tuple[str, str], ...] = tuple(
    (neck, fusion)
    for neck in TABLES
    # The cells of a NAS-FPN say themselves how they fuse.
    for fusion in (("sum",) if neck == "nas_fpn" else CHOICES)
)
"""Every (table, fusion) that there is."""


def get_neck_config(name: str) -> ConfigDict:
    """Returns D3 with another neck.

    Source: EfficientDet (arXiv 1911.09070) Table 5, which does not name its model; its
    AP is that of B3 in Table 4.

    Args:
      name: a key of `NECKS`.

    Raises:
      UsageError: there is no such neck.
    """
    if name not in NECKS:
        raise UsageError(f"neck {name!r} is not known: use one of {', '.join(NECKS)}")
    config = _published(3)
    neck = config.model.neck
    neck.name, neck.repeats, neck.fusion = NECKS[name]
    return config


def get_fusion_config(name: str, phi: int | str) -> ConfigDict:
    """Returns a published detector with another fusion.

    Source: EfficientDet Table 6.

    Args:
      name: one of `fusion.CHOICES`; `validation` refuses others.
      phi: of the published detector.
    """
    config = _published(phi)
    config.model.neck.fusion = name
    return config


def get_retinanet_config(depth: int) -> ConfigDict:
    """Returns RetinaNet with its own recipe, at 640 x 640 pixels.

    Source: RetinaNet (arXiv 1708.02002) sections 4 and 5.
    Differs: P6 is made from P5, as in torchvision and in the 34M parameters that
      EfficientDet compares with, not from C5.

    Args:
      depth: of the ResNet.
    """
    config = _published(0)
    _set_resnet(config, depth)
    _set_retinanet_layers(config)
    _train_as_retinanet(config)
    return config


def get_b3_config(neck: str) -> ConfigDict:
    """Returns EfficientNet-B3 under RetinaNet's layers or D3's, trained as RetinaNet.

    Source: EfficientDet Table 4.

    Args:
      neck: "fpn" or "bifpn".
    """
    config = _published(3)
    if neck == "fpn":
        _set_retinanet_layers(config)
    _train_as_retinanet(config)
    return config


def get_nas_fpn_config() -> ConfigDict:
    """Returns ResNet-50 with seven NAS-FPN cells, 256 wide, at 1024 x 1024 pixels.

    Source: NAS-FPN (arXiv 1904.07392) section 4; EfficientDet Table 2.
    Differs: trained as google/automl trains its models.
    """
    config = _published(0)
    _set_resnet(config, 50)
    config.image_size = (1024, 1024)
    config.model.conv = "full"
    config.model.conv_bias = False
    neck = config.model.neck
    neck.name, neck.width, neck.repeats, neck.fusion = "nas_fpn", 256, 7, "sum"
    config.model.head.repeats = 4
    return config


def _published(phi: int | str) -> ConfigDict:
    config = get_config("table", phi)
    config.scaling.source = config.reference = FREE
    config.model.num_classes = 90
    return config


def _set_resnet(config: ConfigDict, depth: int) -> None:
    """Gives a config a ResNet as PyTorch has it, whose section has keys of its own."""
    with config.model.unlocked():
        config.model.backbone = ConfigDict(
            {
                "name": "resnet",
                "depth": depth,
                "variant": "v1.5",
                "batch_norm": {"momentum": 0.9, "epsilon": 1e-5},
            }
        )
    config.model.activation = "relu"
    config.model.padding = "symmetric"


def _set_retinanet_layers(config: ConfigDict) -> None:
    config.image_size = (640, 640)
    config.model.conv = "full"
    config.model.norm = "none"
    neck = config.model.neck
    neck.name, neck.width, neck.repeats, neck.fusion = "fpn", 256, 1, "sum"
    neck.coarse = "conv_p5"
    neck.has_activation = False
    config.model.head.repeats = 4


def _train_as_retinanet(config: ConfigDict) -> None:
    """Sets RetinaNet's "1x" recipe: 90,000 steps of 16 images.

    Differs: the image is letterboxed to a square; BatchNorm is trained, unless
      config.model.frozen.batch_norm says otherwise; the second drop of the rate is at
      75,000, not 80,000 steps.
    """
    config.loss.gamma = 2.0
    # Smooth L1 with beta is Huber's loss over delta; ours is the mean of four codes.
    config.loss.delta = 1 / 9
    config.loss.box_weight = 4 / config.loss.delta
    config.optimizer.schedule = "stepwise"
    config.optimizer.learning_rate = 0.01
    config.optimizer.warmup_start = 0.001
    config.optimizer.warmup_steps = 1000
    config.optimizer.reference_batch = config.batch_size = 16
    config.l2_loss = 1e-4
    config.ema_decay = 0.0
    config.steps = 90_000
    config.data.jitter = (1.0, 1.0)
    config.postprocess.method = "hard"
    config.postprocess.score_threshold = 0.05
    config.postprocess.clip = "after"


DETECTORS: dict[str, Callable[[], ConfigDict]] = {
    **{
        f"EfficientDet-D{phi}": functools.partial(_published, phi)
        for phi in (0, 1, 2, 3)
    },
    "RetinaNet-R50": functools.partial(get_retinanet_config, 50),
    "RetinaNet-R101": functools.partial(get_retinanet_config, 101),
    "EfficientNet-B3 FPN": functools.partial(get_b3_config, "fpn"),
    "EfficientNet-B3 BiFPN": functools.partial(get_b3_config, "bifpn"),
    "ResNet-50 NAS-FPN": get_nas_fpn_config,
}
"""Makers of what EfficientDet's Tables 2 and 4 compare."""
