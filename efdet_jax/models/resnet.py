"""ResNet features: a plain backbone, for comparison and for its many published weights.

Source: ResNet (arXiv 1512.03385) Table 1, with bottlenecks.
Differs: a bottleneck that halves the image does so in its 3 x 3 convolution, not in the
1 x 1 before it ("v1.5"), as torchvision, timm and the TensorFlow Model Garden have it.
"""

from collections.abc import Iterator

from flax import linen as nn

from efdet_jax.models.layers import Conv, Feature, Image, Pointwise, Style
from efdet_jax.models.resample import max_pool

STAGES: dict[int, tuple[int, int, int, int]] = {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""By depth, the blocks that end in C2, C3, C4 and C5."""
STEM_FILTERS = 64
EXPANSION = 4
"""Channels of a bottleneck's output over those inside."""


def block_plan(depth: int) -> Iterator[tuple[int, int, int]]:
    """Yields (channels inside, stride, level) of every block."""
    for stage, repeats in enumerate(STAGES[depth]):
        for repeat in range(repeats):
            # The stem has halved the image twice, which is where the first stage stays.
            stride = 2 if stage and repeat == 0 else 1
            yield STEM_FILTERS * 2**stage, stride, 2 + stage


class Block(nn.Module):
    """A bottleneck: to few channels, 3 x 3 among them, back to many, add, activate."""

    filters: int
    stride: int
    style: Style

    @nn.compact
    def __call__(self, x: Image, *, train: bool) -> Feature:
        """Returns the block's image; a shortcut to another shape is convolved."""
        norm, activation = self.style.norm, self.style.activation
        y = Pointwise(self.filters, use_bias=False, name="conv_1")(x)
        y = activation(norm(name="conv_1_bn")(y, train=train))
        y = Conv(self.filters, 3, self.stride, self.style.padding, name="conv_2")(y)
        y = activation(norm(name="conv_2_bn")(y, train=train))
        y = Pointwise(EXPANSION * self.filters, use_bias=False, name="conv_3")(y)
        y = norm(name="conv_3_bn")(y, train=train)
        if x.shape != y.shape:
            x = x[:, :: self.stride, :: self.stride]
            x = Pointwise(y.shape[-1], use_bias=False, name="shortcut")(x)
            x = norm(name="shortcut_bn")(x, train=train)
        return activation(x + y)


class ResNet(nn.Module):
    """The features of a ResNet at strides 8, 16 and 32; no classifier.

    Published weights want the activation "relu" and the padding "symmetric".

    Attributes:
      depth: a key of `STAGES`, which counts layers with the classifier.
      style: see `layers.Style`.
    """

    depth: int
    style: Style

    @nn.compact
    def __call__(self, x: Image, *, train: bool) -> dict[int, Feature]:
        """Returns {3: C3, 4: C4, 5: C5}, each the last image before the next stride."""
        padding = self.style.padding
        x = Conv(STEM_FILTERS, 7, 2, padding, name="stem")(x)
        x = self.style.activation(self.style.norm(name="stem_bn")(x, train=train))
        x = max_pool(x, 3, 2, padding)
        features = {}
        for index, (filters, stride, level) in enumerate(block_plan(self.depth)):
            block = Block(filters, stride, self.style, name=f"block_{index}")
            features[level] = x = block(x, train=train)
        del features[2]  # No pyramid of ours starts that fine.
        return features
