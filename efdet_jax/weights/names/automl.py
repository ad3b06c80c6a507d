"""Names in google/automl's files: by variable, and by object.

Source: google/automl, folder efficientdet: backbone/efficientnet_model.py,
tf2/efficientdet_keras.py, tf2/util_keras.py, and the names in files that they wrote.
"""

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

from efdet_jax.weights.names.naming import KERAS, Layout, node_inputs, translate, under

T = TypeVar("T")

VARIABLES = {
    **under(
        "backbone/stem",
        "backbone/stem/",
        {
            "/{leaf}": "conv2d/{leaf}",
            "_bn/{norm}": "tpu_batch_normalization/{norm}",
        },
    ),
    **under(
        "backbone/block_{first}/",
        "backbone/blocks_{block}/",
        {
            "depthwise_bn/{norm}": "tpu_batch_normalization/{norm}",
            "project/{leaf}": "conv2d/{leaf}",
            "project_bn/{norm}": "tpu_batch_normalization_1/{norm}",
        },
    ),
    **under(
        "backbone/block_{block}/",
        "backbone/blocks_{block}/",
        {
            "expand/{leaf}": "conv2d/{leaf}",
            "expand_bn/{norm}": "tpu_batch_normalization/{norm}",
            "depthwise/{leaf}": "depthwise_conv2d/depthwise_{leaf}",
            "depthwise_bn/{norm}": "tpu_batch_normalization_1/{norm}",
            "se/reduce/{leaf}": "se/conv2d/{leaf}",
            "se/expand/{leaf}": "se/conv2d_1/{leaf}",
            "project/{leaf}": "conv2d_1/{leaf}",
            "project_bn/{norm}": "tpu_batch_normalization_2/{norm}",
        },
    ),
    **under(
        "neck/p6_",
        "resample_p6/",
        {"conv/{leaf}": "conv2d/{leaf}", "bn/{norm}": "bn/{norm}"},
    ),
    **under(
        "neck/cell_{cell}/{node}_",
        "fpn_cells/cell_{cell}/fnode{node}/",
        {
            "weights": "WSM",
            "from_p{source}_in_conv/{leaf}": (
                "resample_0_{rung}_{feature}/conv2d/{leaf}"
            ),
            "from_p{source}_in_bn/{norm}": "resample_0_{rung}_{feature}/bn/{norm}",
            "conv/pointwise/bias": "op_after_combine{feature}/conv/bias",
            "conv/{layer}/kernel": "op_after_combine{feature}/conv/{layer}_kernel",
            "bn/{norm}": "op_after_combine{feature}/bn/{norm}",
        },
    ),
    **under(
        "{head}_head/",
        "{head}_net/{head}-",
        {
            "conv_{repeat}/pointwise/bias": "{repeat}/bias",
            "conv_{repeat}/{layer}/kernel": "{repeat}/{layer}_kernel",
            "bn_{repeat}_p{level}/{norm}": "{repeat}-bn-{level}/{norm}",
            "predict/pointwise/bias": "predict/bias",
            "predict/{layer}/kernel": "predict/{layer}_kernel",
        },
    ),
}
"""Keras numbers layers of one kind, so that all counts are one less in `first`."""

OBJECTS = {
    **under(
        "backbone/stem",
        "backbone/_stem/",
        {"/{leaf}": "_conv_stem/{leaf}", "_bn/{norm}": "_bn/{norm}"},
    ),
    **under(
        "backbone/block_{block}/",
        "backbone/_blocks/{block}/",
        {
            "expand/{leaf}": "_expand_conv/{leaf}",
            "expand_bn/{norm}": "_bn0/{norm}",
            "depthwise/{leaf}": "_depthwise_conv/depthwise_{leaf}",
            "depthwise_bn/{norm}": "_bn1/{norm}",
            "se/reduce/{leaf}": "_se/_se_reduce/{leaf}",
            "se/expand/{leaf}": "_se/_se_expand/{leaf}",
            "project/{leaf}": "_project_conv/{leaf}",
            "project_bn/{norm}": "_bn2/{norm}",
        },
    ),
    **under(
        "neck/p6_",
        "resample_layers/0/",
        {"conv/{leaf}": "conv2d/{leaf}", "bn/{norm}": "bn/{norm}"},
    ),
    **under(
        "neck/cell_{cell}/{node}_",
        "fpn_cells/cells/{cell}/fnodes/{node}/",
        {
            "weights": "WSM",
            "from_p{source}_in_conv/{leaf}": "resample_layers/{edge}/conv2d/{leaf}",
            "from_p{source}_in_bn/{norm}": "resample_layers/{edge}/bn/{norm}",
            "conv/pointwise/bias": "op_after_combine/conv_op/bias",
            "conv/{layer}/kernel": "op_after_combine/conv_op/{layer}_kernel",
            "bn/{norm}": "op_after_combine/bn/{norm}",
        },
    ),
    **under(
        "{head}_head/",
        "{head}_net/",
        {
            "conv_{repeat}/pointwise/bias": "conv_ops/{repeat}/bias",
            "conv_{repeat}/{layer}/kernel": "conv_ops/{repeat}/{layer}_kernel",
            "bn_{repeat}_p{level}/{norm}": "bns/{repeat}/{rung}/{norm}",
        },
    ),
    "class_head/predict/pointwise/bias": "class_net/classes/bias",
    "class_head/predict/{layer}/kernel": "class_net/classes/{layer}_kernel",
    "box_head/predict/pointwise/bias": "box_net/boxes/bias",
    "box_head/predict/{layer}/kernel": "box_net/boxes/{layer}_kernel",
}
"""Attributes of Python objects, from the root of the checkpoint."""

_AVERAGE = "/ExponentialMovingAverage"
_STEM = re.compile(
    r"^backbone/stem(?:_\d+)?/(conv2d|tpu_batch_normalization)(?:_\d+)?/"
)


def has_variables(names: Collection[str]) -> bool:
    """Tells a .h5 file or a name-based checkpoint of a detector."""
    return any(name.startswith("fpn_cells/cell_0/fnode0/") for name in names)


def has_objects(names: Collection[str]) -> bool:
    """Tells an object-based checkpoint of a detector."""
    return any(name.startswith("fpn_cells/cells/0/fnodes/0/") for name in names)


def variable_names(path: str, layout: Layout) -> tuple[str, ...]:
    """Returns the names, after `tidy_variables`, of what makes up our variable."""
    return _names(path, layout, VARIABLES)


def object_names(path: str, layout: Layout) -> tuple[str, ...]:
    """Returns the attribute paths of what makes up our variable."""
    return _names(path, layout, OBJECTS)


def tidy_variables(arrays: Mapping[str, T]) -> dict[str, T]:
    """Returns the weights by names that do not depend on the file's history.

    A variable's moving average takes its place, as google/automl restores it unless
    told otherwise; what else stands below a variable is its optimizer's. The backbone
    is named by its size, and its stem by how many models the process had built before
    (stem_1/conv2d_1).
    """
    averages = {
        name.removesuffix(_AVERAGE): array
        for name, array in arrays.items()
        if name.endswith(_AVERAGE)
    }
    weights = {
        name: array
        for name, array in arrays.items()
        if not name.endswith(_AVERAGE) and name.rpartition("/")[0] not in arrays
    }
    return {_canonical(name): array for name, array in (weights | averages).items()}


def _canonical(name: str) -> str:
    name = re.sub(r"^efficientnet-[^/]+/", "backbone/", name)
    return _STEM.sub(r"backbone/stem/\1/", name)


def _names(path: str, layout: Layout, table: Mapping[str, str]) -> tuple[str, ...]:
    name = translate(path, layout, table, KERAS)
    if name is None:
        return ()
    if not path.endswith("_weights"):
        return (name,)
    # Fusion weights are a scalar for each input: WSM, WSM_1, WSM_2.
    others = range(1, node_inputs(path, layout))
    return (name, *(f"{name}_{i}" for i in others))
