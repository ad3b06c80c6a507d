"""The neck: one interpreter for all of the tables in `necks`."""

from flax import linen as nn

from efdet_jax.models import remat
from efdet_jax.models.fusion import FUSIONS, WEIGHTINGS, fuse_weighted
from efdet_jax.models.layers import Conv, Feature, Image, Pointwise, Style, ones
from efdet_jax.models.necks import NECKS, Node, Nodes
from efdet_jax.models.resample import resize

COARSE = ("pool", "conv_c5", "conv_p5")


class Cell(nn.Module):
    """One run through a neck's table.

    An input whose channels differ from the neck's gets a 1 x 1 convolution and a
    BatchNorm of its own on every edge that uses it: C4 and C5 feed two nodes each of a
    BiFPN and have two laterals each, as in the reference, which the paper's figure does
    not show.
    """

    nodes: Nodes
    width: int
    fusion: str
    has_activation: bool
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
            fused = self._fuse(node, images)
            if node.has_conv:
                if self.has_activation:
                    fused = self.style.activation(fused)
                conv = self.style.conv(self.width, name=f"{node.name}_conv")
                norm = self.style.norm(name=f"{node.name}_bn")
                fused = norm(conv(fused), train=train)
            values[node.name] = fused
        return {level: values[f"p{level}_out"] for level in features}

    def _lateral(self, node: Node, source: str, image: Image, train: bool) -> Feature:
        if image.shape[-1] == self.width:
            return image
        name = f"{node.name}_from_{source}"
        return _to_width(image, self.width, self.style, name, train)

    def _fuse(self, node: Node, images: list[Image]) -> Image:
        if len(images) == 1:
            return images[0]
        fusion = node.fusion or self.fusion
        if fusion in WEIGHTINGS:
            weights = self.param(f"{node.name}_weights", ones, (len(images),))
            return fuse_weighted(images, weights, fusion)
        return FUSIONS[fusion](images)


def _to_width(x: Image, width: int, style: Style, name: str, train: bool) -> Feature:
    """Returns `x` with `width` channels: a 1 x 1 convolution and BatchNorm."""
    x = Pointwise(width, style.conv_bias, name=f"{name}_conv")(x)
    return style.norm(name=f"{name}_bn")(x, train=train)


class Neck(nn.Module):
    """The pyramid: levels that the backbone lacks, and `repeats` cells of one table.

    Attributes:
      name_of_table: a key of `NECKS`.
      width: channels of every level.
      repeats: how many cells follow each other.
      fusion: one of `fusion.CHOICES`.
      coarse: how levels above the backbone's are made. "pool": by maxima from C5,
        before the first cell (EfficientDet). By convolutions with stride 2 after the
        last cell, an activation before all but the first: "conv_c5" from C5 (RetinaNet
        section 4, footnote 2), "conv_p5" from P5 (torchvision).
      has_activation: whether an activation precedes the convolutions of nodes.
      levels: finest and coarsest level.
      style: see `layers.Style`.
    """

    name_of_table: str
    width: int
    repeats: int
    fusion: str
    coarse: str
    has_activation: bool
    levels: tuple[int, int]
    style: Style

    @nn.compact
    def __call__(
        self, features: dict[int, Feature], *, train: bool
    ) -> dict[int, Feature]:
        """Returns {level: [b h w width]} for every level, given the backbone's."""
        bottom = self.levels[0]
        features = {
            level: image for level, image in features.items() if level >= bottom
        }
        highest = max(features)
        c5 = features[highest]
        if self.coarse == "pool":
            features |= self._pooled(c5, highest, train)
        nodes = NECKS[self.name_of_table](bottom, max(features))
        for index in range(self.repeats):
            cell = Cell(
                nodes,
                self.width,
                self.fusion,
                self.has_activation,
                self.style,
                name=f"cell_{index}",
            )
            features = remat.run(cell, features, train=train, remat=self.style.remat)
        if self.coarse != "pool":
            source = c5 if self.coarse == "conv_c5" else features[highest]
            features |= self._convolved(source, highest)
        return features

    def _pooled(self, image: Image, highest: int, train: bool) -> dict[int, Feature]:
        features = {}
        for level in range(highest + 1, self.levels[1] + 1):
            if image.shape[-1] != self.width:
                image = _to_width(image, self.width, self.style, f"p{level}", train)
            _, height, width, _ = image.shape
            half = (-(-height // 2), -(-width // 2))
            features[level] = image = resize(image, half, self.style.padding)
        return features

    def _convolved(self, image: Image, highest: int) -> dict[int, Feature]:
        features = {}
        for level in range(highest + 1, self.levels[1] + 1):
            if features:
                image = self.style.activation(image)
            name = f"p{level}_conv"
            conv = Conv(self.width, 3, 2, self.style.padding, use_bias=True, name=name)
            features[level] = image = conv(image)
        return features
