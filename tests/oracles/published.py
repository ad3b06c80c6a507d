"""Where two published implementations of D0 keep each of our variables.

Paths are ours, such as "backbone/block_3/expand_bn/scale". The answers are what
google/automl and effdet call the same array, and that array in our layout.
"""

import collections
import io
import pickle
import re
import zipfile

import numpy as np

NODES = ("p6_td", "p5_td", "p4_td", "p3_out", "p4_out", "p5_out", "p6_out", "p7_out")
"""The order in which both number the nodes of a BiFPN cell."""
STAGE_REPEATS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of each of B0's stages, by which timm numbers them."""

_KERAS_NORM = "tpu_batch_normalization"
_IN_CELL = re.compile(r"(p\d_(?:td|out))(?:_from_p(\d)_in)?_(weights|conv|bn)")
_IN_HEAD = re.compile(r"(?:conv|bn)_(\d)(?:_p(\d))?")


def automl_name(path):
    """Returns the variable's name, or its first one where fusion weights have many."""
    parts = path.split("/")
    norm_leaf = {
        "scale": "gamma",
        "bias": "beta",
        "mean": "moving_mean",
        "var": "moving_variance",
    }.get(parts[-1])
    match parts:
        case ["backbone", "stem", leaf]:
            return f"efficientnet-b0/stem/conv2d/{leaf}"
        case ["backbone", "stem_bn", _]:
            return f"efficientnet-b0/stem/{_KERAS_NORM}/{norm_leaf}"
        case ["backbone", block, "se", layer, leaf]:
            layer = {"reduce": "conv2d", "expand": "conv2d_1"}[layer]
            return f"efficientnet-b0/blocks_{block[6:]}/se/{layer}/{leaf}"
        case ["backbone", block, "depthwise", _]:
            return (
                f"efficientnet-b0/blocks_{block[6:]}/depthwise_conv2d/depthwise_kernel"
            )
        case ["backbone", block, layer, leaf]:
            # Keras counts layers of one kind; a block without expansion has one less.
            order, kind = ("expand", "project"), "conv2d"
            if layer.endswith("_bn"):
                order, kind = ("expand", "depthwise", "project"), _KERAS_NORM
                leaf = norm_leaf
            index = order.index(layer.removesuffix("_bn")) - (block == "block_0")
            suffix = f"_{index}" if index else ""
            return f"efficientnet-b0/blocks_{block[6:]}/{kind}{suffix}/{leaf}"
        case ["neck", "p6_conv", leaf]:
            return f"resample_p6/conv2d/{leaf}"
        case ["neck", "p6_bn", _]:
            return f"resample_p6/bn/{norm_leaf}"
        case ["neck", cell, layer, *rest]:
            node, source, kind = _IN_CELL.fullmatch(layer).groups()
            index = NODES.index(node)
            prefix = f"fpn_cells/{cell}/fnode{index}"
            if kind == "weights":
                return f"{prefix}/WSM"
            if source:
                prefix += f"/resample_0_{int(source) - 3}_{index + 5}"
                leaf = f"conv2d/{rest[0]}" if kind == "conv" else f"bn/{norm_leaf}"
                return f"{prefix}/{leaf}"
            prefix += f"/op_after_combine{index + 5}"
            leaf = f"bn/{norm_leaf}" if kind == "bn" else f"conv/{_separable(rest)}"
            return f"{prefix}/{leaf}"
        case [head, layer, *rest]:
            net = {"class_head": "class_net/class", "box_head": "box_net/box"}[head]
            if layer == "predict":
                return f"{net}-predict/{_separable(rest)}"
            repeat, level = _IN_HEAD.fullmatch(layer).groups()
            if level:
                return f"{net}-{repeat}-bn-{level}/{norm_leaf}"
            return f"{net}-{repeat}/{_separable(rest)}"


def _separable(rest):
    layer, leaf = rest
    return "bias" if leaf == "bias" else f"{layer}_kernel"


def automl_array(weights, path, shape):
    """Returns an array of the open .h5 file `weights` for our variable `path`."""
    name = automl_name(path)
    top = name.split("/")[0]
    if name.endswith("/WSM"):
        names = [name] + [f"{name}_{i}" for i in range(1, shape[0])]
        return np.stack([weights[f"{top}/{n}:0"][()] for n in names])
    return np.reshape(weights[f"{top}/{name}:0"][()], shape)


def effdet_name(path):
    """Returns the name in the state_dict of effdet's tf_efficientdet_d0."""
    parts = path.split("/")
    leaf = {
        "kernel": "weight",
        "scale": "weight",
        "bias": "bias",
        "mean": "running_mean",
        "var": "running_var",
    }.get(parts[-1])
    match parts:
        case ["backbone", "stem", _]:
            return "backbone.conv_stem.weight"
        case ["backbone", "stem_bn", _]:
            return f"backbone.bn1.{leaf}"
        case ["backbone", block, *layers, _]:
            return f"{_timm_block(int(block[6:]))}.{_timm_layer(block, layers)}.{leaf}"
        case ["neck", "p6_conv", _]:
            return f"fpn.resample.3.conv.conv.{leaf}"
        case ["neck", "p6_bn", _]:
            return f"fpn.resample.3.conv.bn.{leaf}"
        case ["neck", cell, layer, *rest]:
            node, source, kind = _IN_CELL.fullmatch(layer).groups()
            prefix = f"fpn.cell.{cell[5:]}.fnode.{NODES.index(node)}"
            if kind == "weights":
                return f"{prefix}.combine.edge_weights"
            if source:
                return f"{prefix}.combine.resample.{int(source) - 3}.conv.{kind}.{leaf}"
            if kind == "bn":
                return f"{prefix}.after_combine.conv.bn.{leaf}"
            return f"{prefix}.after_combine.conv.{_torch_separable(rest[0])}.{leaf}"
        case [head, layer, *rest]:
            net = {"class_head": "class_net", "box_head": "box_net"}[head]
            if layer == "predict":
                return f"{net}.predict.{_torch_separable(rest[0])}.{leaf}"
            repeat, level = _IN_HEAD.fullmatch(layer).groups()
            if level:
                return f"{net}.bn_rep.{repeat}.{int(level) - 3}.bn.{leaf}"
            return f"{net}.conv_rep.{repeat}.{_torch_separable(rest[0])}.{leaf}"


def _timm_block(index):
    for stage, repeats in enumerate(STAGE_REPEATS):
        if index < repeats:
            return f"backbone.blocks.{stage}.{index}"
        index -= repeats


def _timm_layer(block, layers):
    if layers[0] == "se":
        return f"se.conv_{layers[1]}"
    first = block == "block_0"  # without expansion, so that all counts are one less
    return {
        "expand": "conv_pw",
        "expand_bn": "bn1",
        "depthwise": "conv_dw",
        "depthwise_bn": "bn1" if first else "bn2",
        "project": "conv_pw" if first else "conv_pwl",
        "project_bn": "bn2" if first else "bn3",
    }[layers[0]]


def _torch_separable(layer):
    return {"depthwise": "conv_dw", "pointwise": "conv_pw"}[layer]


def from_torch(array, shape):
    """Returns a torch array in our layout: [out in h w] as [h w in out] and so on."""
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
        if len(shape) == 3:  # depthwise: [k k 1 c]
            return array[:, :, 0]
    return array.reshape(shape)


class _StateDict(pickle.Unpickler):
    """Reads a state_dict of float32 and int64 tensors without torch."""

    def __init__(self, archive, root):
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self._archive, self._root = archive, root

    def find_class(self, module, name):
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, size, *_: storage[
                offset : offset + int(np.prod(size))
            ].reshape(size)
        if name == "OrderedDict":
            return collections.OrderedDict
        return {"FloatStorage": np.float32, "LongStorage": np.int64}[name]

    def persistent_load(self, pid):
        _, dtype, key, _, _ = pid
        return np.frombuffer(self._archive.read(f"{self._root}/data/{key}"), dtype)


def read_state_dict(path):
    """Returns {name: array} of a .pth file."""
    with zipfile.ZipFile(path) as archive:
        return _StateDict(archive, path.stem).load()
