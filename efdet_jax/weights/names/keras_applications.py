"""Names in the .h5 files of keras.applications' EfficientNets.

There are two kinds: named by layer (the published files, Keras 2's `save_weights`,
`save` of both) and, in a .weights.h5 of Keras 3, numbered by kind of layer.

Source: Keras, applications/efficientnet.py; names in files that Keras 2 and 3 wrote.
"""

import collections
import functools
from collections.abc import Collection, Mapping
from typing import TypeVar

from efdet_jax.weights.names.naming import KERAS, Layout, translate, under

T = TypeVar("T")

BACKBONE = {
    "backbone/stem/{leaf}": "stem_conv/{leaf}",
    "backbone/stem_bn/{norm}": "stem_bn/{norm}",
    **under(
        "backbone/block_{block}/",
        "block{lettered}_",
        {
            "expand/{leaf}": "expand_conv/{leaf}",
            "expand_bn/{norm}": "expand_bn/{norm}",
            "depthwise/{leaf}": "dwconv/{leaf}",
            "depthwise_bn/{norm}": "bn/{norm}",
            "se/reduce/{leaf}": "se_reduce/{leaf}",
            "se/expand/{leaf}": "se_expand/{leaf}",
            "project/{leaf}": "project_conv/{leaf}",
            "project_bn/{norm}": "project_bn/{norm}",
        },
    ),
}
CLASSIFIER = BACKBONE | {
    "head/conv/{leaf}": "top_conv/{leaf}",
    "head/bn/{norm}": "top_bn/{norm}",
    "head/predict/{leaf}": "predictions/{leaf}",
}

_VARIABLES = {"kernel": 0, "scale": 0, "bias": 1, "mean": 2, "var": 3}


def has_layers(names: Collection[str]) -> bool:
    """Tells an EfficientNet by layer, with its classifier or without."""
    return {"stem_conv/kernel", "block1a_dwconv/kernel"} <= set(
        tidy_layers(dict.fromkeys(names))
    )


def has_numbers(names: Collection[str]) -> bool:
    """Tells a .weights.h5 of Keras 3 with an EfficientNet's kinds of layers."""
    kinds = ("conv2d", "batch_normalization", "depthwise_conv2d", "normalization")
    return {f"layers/{kind}/vars/0" for kind in kinds} <= set(names)


def tidy_layers(arrays: Mapping[str, T]) -> dict[str, T]:
    """Returns the arrays by Keras 3's names; Keras 2's differ in depthwise kernels."""
    return {
        name.replace("/depthwise_kernel", "/kernel"): array
        for name, array in arrays.items()
    }


def layer_names(path: str, layout: Layout) -> tuple[str, ...]:
    """Returns our variable's name after `tidy_layers`, if a classifier has it."""
    name = translate(path, layout, CLASSIFIER, KERAS)
    return () if name is None else (name,)


def numbered_names(path: str, layout: Layout) -> tuple[str, ...]:
    """Returns the same in a .weights.h5 of Keras 3, such as layers/conv2d_4/vars/0."""
    layer, _, leaf = path.rpartition("/")
    number = _numbered(layout.stages).get(layer)
    return () if number is None else (f"layers/{number}/vars/{_VARIABLES[leaf]}",)


@functools.cache
def _numbered(stages: tuple[int, ...]) -> dict[str, str]:
    """Returns {our layer: theirs} in the order in which the network is built."""
    layers = [("backbone/stem", "conv2d"), ("backbone/stem_bn", "batch_normalization")]
    for block in range(sum(stages)):
        parts = [
            ("expand", "conv2d"),
            ("expand_bn", "batch_normalization"),
            ("depthwise", "depthwise_conv2d"),
            ("depthwise_bn", "batch_normalization"),
            ("se/reduce", "conv2d"),
            ("se/expand", "conv2d"),
            ("project", "conv2d"),
            ("project_bn", "batch_normalization"),
        ]
        expands = block >= stages[0]
        layers += [
            (f"backbone/block_{block}/{part}", kind)
            for part, kind in parts[0 if expands else 2 :]
        ]
    layers += [
        ("head/conv", "conv2d"),
        ("head/bn", "batch_normalization"),
        ("head/predict", "dense"),
    ]
    counts: collections.Counter[str] = collections.Counter()
    numbered = {}
    for layer, kind in layers:
        number = counts[kind]
        counts[kind] += 1
        numbered[layer] = f"{kind}_{number}" if number else kind
    return numbered
