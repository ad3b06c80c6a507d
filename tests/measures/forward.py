"""Published weights of D0 in, and what the network says of an image, block by block."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from flax import traverse_util
from measures.rows import Row, compare
from oracles import recorded

from efdet_jax import config as config_lib
from efdet_jax import models, recipes, weights
from efdet_jax.models.necks import bifpn

ON_THE_WAY = re.compile(r"backbone|block_\d+|neck|p\d_(td|out)_bn")
"""Modules to look into; a node of the neck ends with its BatchNorm."""


def run(config, path, image):
    """Outputs for a normalised image, and {"backbone/block_3": …} of what is inside."""
    forward = functools.partial(
        models.create(config.model).apply,
        train=False,
        capture_intermediates=lambda module, _: (
            ON_THE_WAY.fullmatch(module.name or "") is not None
        ),
    )
    outputs, kept = jax.jit(forward)(weights.import_weights(path, config), image)
    parts = traverse_util.flatten_dict(kept["intermediates"], sep="/")
    return outputs, {
        name.removesuffix("/__call__"): value for name, (value,) in parts.items()
    }


def automl(file: str, reference: Path) -> Iterator[Row]:
    """Against google/automl, from one of its files."""
    folder = reference / "automl"
    image = np.load(folder / "d0_256_input.npz")["image"]
    maps = np.load(folder / "d0_256_outputs.npz")
    inside = np.load(folder / "d0_256_intermediates.npz")
    config = config_lib.get_config("table", 0)
    config.model.num_classes = 90
    outputs, parts = run(config, present(folder / file), image)
    against = f"google/automl, {file}"
    yield from _outputs(outputs, maps, range(3, 8), against)
    blocks = {
        f"block_{i}": (parts[f"backbone/block_{i}"], inside[f"backbone_block_{i}"])
        for i in range(16)
    }
    yield compare("D0: 16 blocks of the backbone", against, 1e-4, blocks)
    nodes = {
        f"cell_{cell}/{node.name}": (
            parts[f"neck/cell_{cell}/{node.name}_bn"],
            inside[f"cell{cell}_fnode{index}"],
        )
        for cell in range(3)
        for index, node in enumerate(bifpn(3, 7))
    }
    yield compare("D0: 24 nodes of the neck", against, 1e-4, nodes)


def effdet(reference: Path) -> Iterator[Row]:
    """Against effdet, from its state dict."""
    folder = reference / "effdet"
    name = "tf_efficientdet_d0_256"
    maps = channels_last(np.load(folder / f"{name}_io.npz"))
    config = recipes.get_effdet_config("tf_efficientdet_d0")
    outputs, parts = run(config, present(folder / f"{name}.pth"), maps["x_nchw"])
    against = "effdet, .pth"
    yield from _outputs(outputs, maps, range(5), against)
    for what, part, theirs in (
        ("C3 to C5", "backbone", "backbone_{}"),
        ("P3 to P7", "neck", "fpn_{}"),
    ):
        pairs = {
            f"{what[0]}{level}": (value, maps[theirs.format(level - 3)])
            for level, value in parts[part].items()
            if level >= 3
        }
        yield compare(f"D0: {what}", against, 1e-4, pairs)


def _outputs(outputs, maps, levels, against) -> Iterator[Row]:
    """Rows of the logits and codes, from maps cls_3, box_3, … of these levels."""
    for what, found, theirs, depth in (
        ("logits", outputs.class_logits, "cls_{}", 90),
        ("boxes", outputs.box_codes, "box_{}", 4),
    ):
        expected = recorded.flatten_levels(maps, theirs, depth, levels)
        yield compare(f"D0: {what}", against, 1e-4, {what: (found, expected)})


def channels_last(arrays) -> dict[str, np.ndarray]:
    """The images among PyTorch's arrays as [b h w c], the others as they are."""
    return {
        name: array.transpose(0, 2, 3, 1)
        if array.ndim == 4 and array.dtype == np.float32
        else array
        for name, array in arrays.items()
    }


def present(path: Path) -> Path:
    """Returns the path.

    Raises:
      FileNotFoundError: there is nothing.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is absent")
    return path
