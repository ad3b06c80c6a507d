"""The whole network: backbone, neck, heads."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax import numpy as jnp
from jaxtyping import Array, Float, UInt8

from efdet_jax.models.activations import ACTIVATIONS
from efdet_jax.models.efficientnet import EfficientNet
from efdet_jax.models.heads import Head
from efdet_jax.models.layers import CONVS, Style
from efdet_jax.models.norms import NORMS
from efdet_jax.models.pyramid import Neck
from efdet_jax.models.remat import REMATS
from efdet_jax.models.resnet import ResNet
from efdet_jax.models.sections import Section, network_arguments
from efdet_jax.structures import Outputs

BACKBONES = {"efficientnet": EfficientNet, "resnet": ResNet}


def normalise(
    image: UInt8[Array | np.ndarray, "b h w 3"],
    *,
    mean: tuple[float, float, float],
    stddev: tuple[float, float, float],
) -> Float[Array, "b h w 3"]:
    """Returns the image with mean and deviation of each colour taken out, float32.

    Both are in units of the image, 0..255; weights were trained with one pair of them.
    """
    shifted = jnp.asarray(image).astype(jnp.float32) - _per_colour(mean)
    return shifted / _per_colour(stddev)


def _per_colour(values: tuple[float, float, float]) -> Float[Array, "1 1 1 3"]:
    return jnp.asarray(values, jnp.float32).reshape(1, 1, 1, 3)


class Detector(nn.Module):
    """A one-stage detector. Each section is the keyword arguments of its part.

    Attributes:
      num_classes: classes, no background among them (the heads are sigmoids).
      num_anchors: anchors per cell.
      levels: finest and coarsest pyramid level; the stride of level l is 2**l.
      backbone: `name`, a key of `BACKBONES`, that backbone's arguments, and the
        `batch_norm` of its own (see below).
      neck: `name`, a key of `necks.NECKS`, and `pyramid.Neck`'s arguments.
      head: `heads.Head`'s arguments.
      conv: a key of `layers.CONVS`, for neck and heads.
      norm: a key of `layers.NORMS`, for neck and heads.
      batch_norm: `layers.BatchNorm`'s arguments, in neck and heads.
      activation: a key of `layers.ACTIVATIONS`.
      padding: one of `windows.PADDINGS`.
      conv_bias: see `layers.Style`.
      frozen: what training leaves as it is. `backbone`: its parameters and statistics,
        and it drops no paths. `batch_norm`: every BatchNorm's statistics; it normalises
        by them in training too, while its scale and bias are trained.
      dtype: of activations; parameters, statistics and outputs stay float32.
      remat: a key of `remat.REMATS`: the parts that the backward pass computes again.
    """

    num_classes: int
    num_anchors: int
    levels: tuple[int, int]
    backbone: Mapping[str, Any]
    neck: Mapping[str, Any]
    head: Mapping[str, int]
    conv: str
    norm: str
    batch_norm: Mapping[str, float]
    activation: str
    padding: str
    conv_bias: bool
    frozen: Mapping[str, bool]
    dtype: str
    remat: str

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"], *, train: bool) -> Outputs:
        """Returns the logits and box codes of every anchor for normalised images."""
        features = self._backbone()(
            image.astype(self.dtype), train=train and not self.frozen["backbone"]
        )
        style = self._style("neck", self.norm, self.batch_norm)
        neck = dict(self.neck)
        table = neck.pop("name")
        features = Neck(table, **neck, levels=self.levels, style=style, name="neck")(
            features, train=train
        )
        head = functools.partial(
            Head, num_anchors=self.num_anchors, style=style, **self.head
        )
        logits = head(self.num_classes, name="class_head")(features, train=train)
        codes = head(4, name="box_head")(features, train=train)
        return Outputs(logits.astype(jnp.float32), codes.astype(jnp.float32))

    def _backbone(self) -> nn.Module:
        arguments = dict(self.backbone)
        style = self._style("backbone", "batch", arguments.pop("batch_norm"))
        module = BACKBONES[arguments.pop("name")]
        return module(**arguments, style=style, name="backbone")

    def _style(self, part: str, norm: str, batch_norm: Mapping[str, float]) -> Style:
        knobs = {"frozen": self.frozen["batch_norm"], **batch_norm}
        return Style(
            norm=functools.partial(NORMS[norm], **(knobs if norm == "batch" else {})),
            conv=functools.partial(CONVS[self.conv], use_bias=self.conv_bias),
            activation=ACTIVATIONS[self.activation],
            padding=self.padding,
            conv_bias=self.conv_bias,
            remat=part in REMATS[self.remat],
        )


def create(section: Section) -> Detector:
    """Returns the detector that a config's `model` section describes.

    Raises:
      ValueError: see `network_arguments`.
    """
    arguments = network_arguments(section)
    anchors = arguments.pop("anchors")
    num_anchors = anchors["octaves"] * len(anchors["aspect_ratios"])
    return Detector(num_anchors=num_anchors, **arguments)


def abstract_variables(model: nn.Module, image_size: tuple[int, int]) -> dict:
    """Returns the shapes of `params` and `batch_stats`; computes nothing."""
    image = jax.ShapeDtypeStruct((1, *image_size, 3), jnp.float32)
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), image)
