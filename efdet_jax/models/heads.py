"""RetinaNet's class and box heads: one set of convolutions for all pyramid levels.

Source: RetinaNet (arXiv 1708.02002) section 4 and Fig. 3; EfficientDet section 4.1:
separable convolutions, the neck's width, BatchNorm of each level's own statistics.
"""

from flax import linen as nn
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.models.layers import Feature, Style


class Head(nn.Module):
    """`repeats` convolutions and a predictor, run on every level.

    Attributes:
      values_per_anchor: numbers said of each anchor: classes, or 4 box codes.
      num_anchors: anchors per cell.
      repeats: hidden convolutions.
      style: see `layers.Style`; there is a norm for each repeat and level.
    """

    values_per_anchor: int
    num_anchors: int
    repeats: int
    style: Style

    @nn.compact
    def __call__(
        self, features: dict[int, Feature], *, train: bool
    ) -> Float[Array, "b a v"]:
        """Returns the predictions of all anchors: level, row, column, anchor."""
        width = next(iter(features.values())).shape[-1]
        style = self.style
        convs = [style.conv(width, name=f"conv_{i}") for i in range(self.repeats)]
        predict = style.conv(
            self.num_anchors * self.values_per_anchor, use_bias=True, name="predict"
        )
        predictions = []
        for level, x in sorted(features.items()):
            for i, conv in enumerate(convs):
                norm = style.norm(name=f"bn_{i}_p{level}")
                x = norm(conv(x), train=train, activation=style.activation)
            b, h, w, _ = x.shape
            cells = h * w * self.num_anchors
            predictions.append(predict(x).reshape(b, cells, self.values_per_anchor))
        return jnp.concatenate(predictions, axis=1)
