"""ResNet features: a plain backbone, for comparison and for its many published weights.

Source: ResNet (arXiv 1512.03385) Table 1, with bottlenecks.
Differs: a bottleneck that halves the image does so in its 3 x 3 convolution, not in the
1 x 1 before it ("v1.5"), as torchvision, timm and the TensorFlow Model Garden have it.
"""

import functools
from collections.abc import Callable, Iterator

from flax import linen as nn
from jax import lax
from jax import numpy as jnp

from efdet_jax.models import remat
from efdet_jax.models.layers import Conv, Feature, Image, Pointwise, Style
from efdet_jax.models.normed import normed_conv
from efdet_jax.models.resample import max_pool

STAGES: dict[int, tuple[int, int, int, int]] = {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""By depth, the blocks that end in C2, C3, C4 and C5."""
STEM_FILTERS = 64
STEMS = {
    "v1.5": (("stem", STEM_FILTERS, 7, 2),),
    "d": (
        ("stem_1", STEM_FILTERS // 2, 3, 2),
        ("stem_2", STEM_FILTERS // 2, 3, 1),
        ("stem", STEM_FILTERS, 3, 1),
    ),
}
"""By variant, (name, channels, window, stride) of the convolutions before the pool."""
EXPANSION = 4
"""Channels of a bottleneck's output over those inside."""


def block_plan(depth: int) -> Iterator[tuple[int, int, int]]:
    """Yields (channels inside, stride, level) of every block."""
    for stage, repeats in enumerate(STAGES[depth]):
        for repeat in range(repeats):
            # The stem has halved the image twice, which is where the first stage stays.
            stride = 2 if stage and repeat == 0 else 1
            yield STEM_FILTERS * 2**stage, stride, 2 + stage


def _conv(filters: int, window: int, stride: int, style: Style, name: str) -> Conv:
    return Conv(filters, window, stride, style.padding, use_bias=False, name=name)


def _pick(x: Image, stride: int) -> Feature:
    return x[:, ::stride, ::stride]


def _average(x: Image, stride: int) -> Feature:
    """Means of windows of the stride's size, over the border of what exists."""
    window = (1, stride, stride, 1)
    padding = [(0, 0), *((0, -size % stride) for size in x.shape[1:3]), (0, 0)]
    add = functools.partial(
        lax.reduce_window,
        init_value=0.0,
        computation=lax.add,
        window_dimensions=window,
        window_strides=window,
        padding=padding,
    )
    return add(x) / add(jnp.ones((1, *x.shape[1:3], 1), x.dtype))


SHORTCUTS: dict[str, Callable[[Image, int], Feature]] = {
    "v1.5": _pick,
    "d": _average,
}
"""By variant, how a shortcut halves the image before its 1 x 1 convolution."""


class Block(nn.Module):
    """A bottleneck: to few channels, 3 x 3 among them, back to many, add, activate."""

    filters: int
    stride: int
    variant: str
    style: Style

    @nn.compact
    def __call__(self, x: Image, *, train: bool) -> Feature:
        """Returns the block's image; a shortcut to another shape is convolved."""
        norm, activation = self.style.norm, self.style.activation
        y = Pointwise(self.filters, use_bias=False, name="conv_1")(x)
        y = norm(name="conv_1_bn")(y, train=train, activation=activation)
        y = _conv(self.filters, 3, self.stride, self.style, "conv_2")(y)
        y = norm(name="conv_2_bn")(y, train=train, activation=activation)
        y = Pointwise(EXPANSION * self.filters, use_bias=False, name="conv_3")(y)
        y = norm(name="conv_3_bn")(y, train=train)
        if x.shape != y.shape:
            if self.stride > 1:
                x = SHORTCUTS[self.variant](x, self.stride)
            x = Pointwise(y.shape[-1], use_bias=False, name="shortcut")(x)
            x = norm(name="shortcut_bn")(x, train=train)
        return activation(x + y)


class ResNet(nn.Module):
    """The features of a ResNet at strides 4 to 32; no classifier.

    Published weights want the activation "relu" and the padding "symmetric".

    Attributes:
      depth: a key of `STAGES`, which counts layers with the classifier.
      variant: a key of `SHORTCUTS`. "d" has a stem of three 3 x 3 convolutions, and
        shortcuts that average. Source: Bag of tricks (arXiv 1812.01187) Fig. 2.
      style: see `layers.Style`.
    """

    depth: int
    variant: str
    style: Style

    @nn.compact
    def __call__(self, x: Image, *, train: bool) -> dict[int, Feature]:
        """Returns {2: C2, … 5: C5}, each the last image before the next stride."""
        for name, filters, window, stride in STEMS[self.variant]:
            x = normed_conv(
                x,
                _conv(filters, window, stride, self.style, name),
                self.style.norm(name=f"{name}_bn"),
                self.style.activation,
                train=train,
            )
        x = max_pool(x, 3, 2, self.style.padding)
        features = {}
        for index, (filters, stride, level) in enumerate(block_plan(self.depth)):
            block = Block(
                filters, stride, self.variant, self.style, name=f"block_{index}"
            )
            x = remat.run(block, x, train=train, remat=self.style.remat)
            features[level] = x
        return features
