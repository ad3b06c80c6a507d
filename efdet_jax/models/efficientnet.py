"""EfficientNet features: the backbone of every EfficientDet.

Source: EfficientNet (arXiv 1905.11946) Table 1; MobileNetV2's inverted residual block
(arXiv 1801.04381) with squeeze-and-excitation. EfficientNet-Lite: google/automl,
efficientdet/backbone/efficientnet_lite_builder.py.
"""

import math
from typing import NamedTuple

from flax import linen as nn

from efdet_jax.models import remat
from efdet_jax.models.layers import (
    Conv,
    Depthwise,
    Feature,
    Image,
    Pointwise,
    SqueezeExcite,
    Style,
    drop_path,
)
from efdet_jax.models.normed import expanded_depthwise, normed_conv, normed_pointwise


class Stage(NamedTuple):
    """A row of EfficientNet's Table 1: `repeats` blocks, the first with `stride`."""

    window: int
    repeats: int
    filters: int
    expand: int
    stride: int


STAGES = (
    Stage(window=3, repeats=1, filters=16, expand=1, stride=1),
    Stage(window=3, repeats=2, filters=24, expand=6, stride=2),
    Stage(window=5, repeats=2, filters=40, expand=6, stride=2),
    Stage(window=3, repeats=3, filters=80, expand=6, stride=2),
    Stage(window=5, repeats=3, filters=112, expand=6, stride=1),
    Stage(window=5, repeats=4, filters=192, expand=6, stride=2),
    Stage(window=3, repeats=1, filters=320, expand=6, stride=1),
)
STEM_FILTERS = 32
FEATURE_LEVELS = (2, 3, 4, 5)


def round_filters(filters: int, width: float) -> int:
    """Returns `filters * width` as the reference rounds it.

    To the nearest multiple of 8, at least 8, and one multiple more if rounding would
    take away over 10%.
    """
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def stage_repeats(depth: float, *, lite: bool) -> tuple[int, ...]:
    """Returns the blocks of each stage; Lite never repeats the first and the last."""
    return tuple(
        stage.repeats
        if lite and stage in (STAGES[0], STAGES[-1])
        else math.ceil(stage.repeats * depth)
        for stage in STAGES
    )


def block_plan(width: float, depth: float, *, lite: bool) -> list[tuple[Stage, int]]:
    """Returns one (stage with its scaled filters and own stride, level) per block."""
    plan = []
    level = 1  # the stem halves the image once
    for stage, repeats in zip(STAGES, stage_repeats(depth, lite=lite), strict=True):
        filters = round_filters(stage.filters, width)
        for repeat in range(repeats):
            stride = stage.stride if repeat == 0 else 1
            level += stride == 2
            plan.append((stage._replace(filters=filters, stride=stride), level))
    return plan


class Block(nn.Module):
    """An inverted residual: expand, depthwise, squeeze-excite, project, add."""

    stage: Stage
    squeeze_excite: bool
    survival_prob: float
    style: Style

    @nn.compact
    def __call__(self, x: Image, *, train: bool) -> Feature:
        """Returns the block's image, with a shortcut where the shape allows one."""
        stage, inputs, c = self.stage, x, x.shape[-1]
        norm, activation = self.style.norm, self.style.activation
        expand = expand_norm = None
        if stage.expand != 1:
            expand = Pointwise(c * stage.expand, use_bias=False, name="expand")
            expand_norm = norm(name="expand_bn")
        x = expanded_depthwise(
            x,
            expand,
            expand_norm,
            Depthwise(stage.window, stage.stride, self.style.padding, name="depthwise"),
            norm(name="depthwise_bn"),
            activation,
            train=train,
        )
        gate = None
        if self.squeeze_excite:
            # A quarter of the block's input, not of its expanded width.
            gate = SqueezeExcite(max(1, c // 4), activation, name="se")(x)
        shortcut = inputs if stage.stride == 1 and c == stage.filters else None
        x = normed_pointwise(
            x,
            gate,
            Pointwise(stage.filters, use_bias=False, name="project"),
            norm(name="project_bn"),
            None if train else shortcut,
            train=train,
        )
        if train and shortcut is not None:
            if self.survival_prob < 1:
                x = drop_path(x, self.survival_prob, self.make_rng("drop_path"))
            x = x + shortcut
        return x


class EfficientNet(nn.Module):
    """The features of an EfficientNet at strides 4 to 32; no classifier.

    Attributes:
      width: multiplier of B0's channels.
      depth: multiplier of B0's blocks per stage.
      lite: EfficientNet-Lite: no squeeze-and-excitation; the stem's width and the
        repeats of the first and last stage are B0's at any scale.
      survival_prob: chance that the last block's residual survives in training; falls
        linearly from 1 at the first block. 1 turns drop path off (as B0 has it).
      style: see `layers.Style`.
    """

    width: float
    depth: float
    lite: bool
    survival_prob: float
    style: Style

    @nn.compact
    def __call__(self, x: Image, *, train: bool) -> dict[int, Feature]:
        """Returns {2: C2, … 5: C5}, each the last image before the next stride."""
        stem = round_filters(STEM_FILTERS, 1.0 if self.lite else self.width)
        x = normed_conv(
            x,
            Conv(stem, 3, 2, self.style.padding, use_bias=False, name="stem"),
            self.style.norm(name="stem_bn"),
            self.style.activation,
            train=train,
        )
        features = {}
        plan = block_plan(self.width, self.depth, lite=self.lite)
        for index, (stage, level) in enumerate(plan):
            survival_prob = 1 - (1 - self.survival_prob) * index / len(plan)
            block = Block(
                stage, not self.lite, survival_prob, self.style, name=f"block_{index}"
            )
            x = remat.run(block, x, train=train, remat=self.style.remat)
            features[level] = x
        return {level: features[level] for level in FEATURE_LEVELS}
