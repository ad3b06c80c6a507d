"""EfficientNet as it was published: the features with a classifier on top.

Source: EfficientNet (arXiv 1905.11946) Table 1, stage 9, and section 5.2 for dropout.
"""

import functools
from collections.abc import Mapping
from typing import Any

from flax import linen as nn
from jax import numpy as jnp
from jaxtyping import Array, Float

from efdet_jax.models.activations import ACTIVATIONS
from efdet_jax.models.efficientnet import FEATURE_LEVELS, EfficientNet, round_filters
from efdet_jax.models.layers import (
    Feature,
    Pointwise,
    SeparableConv,
    Style,
)
from efdet_jax.models.norms import BatchNorm
from efdet_jax.models.remat import REMATS
from efdet_jax.models.sections import Section, network_arguments

HEAD_FILTERS = 1280
"""Channels of B0's last convolution; more at other widths, but not for Lite."""


class ClassHead(nn.Module):
    """A 1 x 1 convolution, the mean over all cells, dropout, one number per class.

    Attributes:
      num_classes: numbers per image.
      filters: channels of the convolution.
      dropout: share of the means that a training step zeroes.
      style: see `layers.Style`.
    """

    num_classes: int
    filters: int
    dropout: float
    style: Style

    @nn.compact
    def __call__(self, x: Feature, *, train: bool) -> Float[Array, "b k"]:
        """Returns the logits of every class for the coarsest feature."""
        x = Pointwise(self.filters, use_bias=False, name="conv")(x)
        norm = self.style.norm(name="bn")
        x = norm(x, train=train, activation=self.style.activation)
        means = jnp.mean(x, axis=(1, 2))
        means = nn.Dropout(self.dropout, deterministic=not train)(means)
        return Pointwise(self.num_classes, use_bias=True, name="predict")(means)


class Classifier(nn.Module):
    """An EfficientNet that says what an image shows.

    The backbone's variables are named as in a `Detector`: the weights of this network
    start a detector.

    Attributes:
      num_classes: classes, one of which each image shows.
      backbone: `EfficientNet`'s arguments, and the `batch_norm` of every layer.
      dropout: see `ClassHead`.
      activation: a key of `layers.ACTIVATIONS`.
      padding: one of `windows.PADDINGS`.
      frozen: see `Detector`; with a frozen backbone the head alone learns.
      dtype: of activations; parameters, statistics and logits stay float32.
      remat: see `Detector`.
    """

    num_classes: int
    backbone: Mapping[str, Any]
    dropout: float
    activation: str
    padding: str
    frozen: Mapping[str, bool]
    dtype: str
    remat: str

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 3"], *, train: bool
    ) -> Float[Array, "b k"]:
        """Returns the logits of every class for normalised images."""
        backbone = dict(self.backbone)
        style = Style(
            norm=functools.partial(
                BatchNorm,
                frozen=self.frozen["batch_norm"],
                **backbone.pop("batch_norm"),
            ),
            conv=SeparableConv,  # The same everywhere; this network has none.
            activation=ACTIVATIONS[self.activation],
            padding=self.padding,
            conv_bias=False,
            remat="backbone" in REMATS[self.remat],
        )
        features = EfficientNet(**backbone, style=style, name="backbone")(
            image.astype(self.dtype), train=train and not self.frozen["backbone"]
        )
        head = ClassHead(
            self.num_classes,
            round_filters(HEAD_FILTERS, 1.0 if backbone["lite"] else backbone["width"]),
            self.dropout,
            style,
            name="head",
        )
        logits = head(features[FEATURE_LEVELS[-1]], train=train)
        return logits.astype(jnp.float32)


def create(section: Section) -> Classifier:
    """Returns the classifier that a config's `model` section describes.

    Raises:
      ValueError: see `network_arguments`.
    """
    arguments = network_arguments(section)
    del arguments["backbone"]["name"]  # There is but one.
    return Classifier(**arguments)
