"""Names in timm's EfficientNets, which are also the backbones of effdet.

Source: timm, models/efficientnet.py; the names of tf_efficientnet_b0…b7,
tf_efficientnet_lite0…lite4 and of those without tf_ are the same.
"""

from collections.abc import Collection, Mapping
from typing import TypeVar

from efdet_jax.weights.names.naming import TORCH, Layout, translate, under

T = TypeVar("T")

BACKBONE = {
    "backbone/stem/{leaf}": "conv_stem.{leaf}",
    "backbone/stem_bn/{norm}": "bn1.{norm}",
    **under(
        "backbone/block_{first}/",
        "blocks.{stage}.{place}.",
        {
            "depthwise_bn/{norm}": "bn1.{norm}",
            "project/{leaf}": "conv_pw.{leaf}",
            "project_bn/{norm}": "bn2.{norm}",
        },
    ),
    **under(
        "backbone/block_{block}/",
        "blocks.{stage}.{place}.",
        {
            "expand/{leaf}": "conv_pw.{leaf}",
            "expand_bn/{norm}": "bn1.{norm}",
            "depthwise/{leaf}": "conv_dw.{leaf}",
            "depthwise_bn/{norm}": "bn2.{norm}",
            "se/reduce/{leaf}": "se.conv_reduce.{leaf}",
            "se/expand/{leaf}": "se.conv_expand.{leaf}",
            "project/{leaf}": "conv_pwl.{leaf}",
            "project_bn/{norm}": "bn3.{norm}",
        },
    ),
}
CLASSIFIER = BACKBONE | {
    "head/conv/{leaf}": "conv_head.{leaf}",
    "head/bn/{norm}": "bn2.{norm}",
    "head/predict/{leaf}": "classifier.{leaf}",
}


def is_this(names: Collection[str]) -> bool:
    """Tells the state dict of an EfficientNet, with its classifier or without."""
    return {"conv_stem.weight", "blocks.0.0.conv_dw.weight"} <= set(names)


def tidy(arrays: Mapping[str, T]) -> dict[str, T]:
    """Returns all arrays but BatchNorm's counters of batches, which nothing reads."""
    return {
        name: array
        for name, array in arrays.items()
        if not name.endswith(".num_batches_tracked")
    }


def names(path: str, layout: Layout) -> tuple[str, ...]:
    """Returns the name of our variable, if a classifier has it."""
    name = translate(path, layout, CLASSIFIER, TORCH)
    return () if name is None else (name,)
