"""Necks as tables: each is a tuple of nodes, and one interpreter runs any of them.

A node fuses features that are already there, brought to its own level, and then applies
the activation, a separable 3 x 3 convolution and BatchNorm. "p4_in" is the cell's input
at level 4 and "p4_out" its output; any other name lives inside the cell.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
from flax import linen as nn
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.models.layers import (
    Feature,
    Image,
    Pointwise,
    SeparableConv,
    Style,
    ones,
)
from efdet_jax.models.resample import resize


class Node(NamedTuple):
    """A feature made from others: a row of a neck's table."""

    name: str
    level: int
    inputs: tuple[str, ...]


def bifpn(min_level: int, max_level: int) -> tuple[Node, ...]:
    """Returns the BiFPN cell: top-down, then bottom-up with an edge from the input.

    Source: EfficientDet (arXiv 1911.09070) Fig. 2d and section 3.3.
    """
    top_down = [
        Node(
            f"p{level}_out" if level == min_level else f"p{level}_td",
            level,
            (
                f"p{level}_in",
                f"p{level + 1}_in" if level + 1 == max_level else f"p{level + 1}_td",
            ),
        )
        for level in range(max_level - 1, min_level - 1, -1)
    ]
    bottom_up = [
        Node(
            f"p{level}_out",
            level,
            (f"p{level}_in", f"p{level}_td", f"p{level - 1}_out")
            if level < max_level
            else (f"p{level}_in", f"p{level - 1}_out"),
        )
        for level in range(min_level + 1, max_level + 1)
    ]
    return tuple(top_down + bottom_up)


NECKS: dict[str, Callable[[int, int], tuple[Node, ...]]] = {"bifpn": bifpn}


def fuse_fast(
    images: list[Image], weights: Float[Array, " inputs"]
) -> Float[Array, "b h w c"]:
    """Returns sum_i w_i x_i / (sum_j w_j + 0.0001), the weights kept non-negative.

    Source: EfficientDet section 3.3, "fast normalized fusion".
    """
    weights = jax.nn.relu(weights)
    weights = (weights / (jnp.sum(weights) + 1e-4)).astype(images[0].dtype)
    return functools.reduce(
        jnp.add, [image * weights[i] for i, image in enumerate(images)]
    )


def fuse_sum(images: list[Image]) -> Image:
    """Returns the plain sum, as D6 and above have it."""
    return functools.reduce(jnp.add, images)


FUSIONS = ("fast", "sum")


class Cell(nn.Module):
    """One run through a neck's table.

    An input whose channels differ from the neck's gets a 1 x 1 convolution and a
    BatchNorm of its own on every edge that uses it: C4 and C5 feed two nodes each and
    have two laterals each, as in the reference, which the paper's figure does not show.
    """

    nodes: tuple[Node, ...]
    width: int
    fusion: str
    style: Style

    @nn.compact
    def __call__(
        self, features: dict[int, Feature], *, train: bool
    ) -> dict[int, Feature]:
        """Returns {level: output} for the levels of `features`."""
        values = {f"p{level}_in": image for level, image in features.items()}
        for node in self.nodes:
            _, height, width, _ = features[node.level].shape
            laterals = [self._lateral(node, n, values[n], train) for n in node.inputs]
            images = [
                resize(image, (height, width), self.style.padding) for image in laterals
            ]
            if self.fusion == "fast":
                weights = self.param(f"{node.name}_weights", ones, (len(images),))
                fused = fuse_fast(images, weights)
            else:
                fused = fuse_sum(images)
            conv = SeparableConv(
                self.width, self.style.conv_bias, name=f"{node.name}_conv"
            )
            norm = self.style.norm(name=f"{node.name}_bn")
            values[node.name] = norm(conv(self.style.activation(fused)), train=train)
        return {level: values[f"p{level}_out"] for level in features}

    def _lateral(self, node: Node, source: str, image: Image, train: bool) -> Feature:
        if image.shape[-1] == self.width:
            return image
        name = f"{node.name}_from_{source}"
        return _to_width(image, self.width, self.style, name, train)


def _to_width(x: Image, width: int, style: Style, name: str, train: bool) -> Feature:
    """Returns `x` with `width` channels: a 1 x 1 convolution and BatchNorm."""
    x = Pointwise(width, style.conv_bias, name=f"{name}_conv")(x)
    return style.norm(name=f"{name}_bn")(x, train=train)


class Neck(nn.Module):
    """The pyramid: coarser levels made from C5, then `repeats` cells of one table.

    Attributes:
      name_of_table: a key of `NECKS`.
      width: channels of every level.
      repeats: how many cells follow each other.
      fusion: one of `FUSIONS`.
      levels: finest and coarsest level.
      style: see `layers.Style`.
    """

    name_of_table: str
    width: int
    repeats: int
    fusion: str
    levels: tuple[int, int]
    style: Style

    @nn.compact
    def __call__(
        self, features: dict[int, Feature], *, train: bool
    ) -> dict[int, Feature]:
        """Returns {level: [b h w width]} for every level, given the backbone's."""
        features = dict(features)
        top = max(features)
        for level in range(top + 1, self.levels[1] + 1):
            image = features[level - 1]
            if image.shape[-1] != self.width:
                image = _to_width(image, self.width, self.style, f"p{level}", train)
            _, height, width, _ = image.shape
            half = (-(-height // 2), -(-width // 2))
            features[level] = resize(image, half, self.style.padding)
        nodes = NECKS[self.name_of_table](*self.levels)
        for index in range(self.repeats):
            cell = Cell(
                nodes, self.width, self.fusion, self.style, name=f"cell_{index}"
            )
            features = cell(features, train=train)
        return features
