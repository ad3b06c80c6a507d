"""The whole network: backbone, neck, heads."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax import numpy as jnp
from jaxtyping import Array, Float, UInt8

from efdet_jax.models.efficientnet import EfficientNet
from efdet_jax.models.heads import Head
from efdet_jax.models.layers import BatchNorm
from efdet_jax.models.necks import Neck
from efdet_jax.structures import Outputs

MEAN_RGB = (123.675, 116.28, 103.53)
STDDEV_RGB = (58.395, 57.12, 57.375)
"""ImageNet's, in 0..255: what the published weights expect."""

BACKBONES = {"efficientnet": EfficientNet}


def normalise(image: UInt8[Array | np.ndarray, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Returns the image with ImageNet's mean and deviation taken out, float32."""
    mean = jnp.asarray(MEAN_RGB).reshape(1, 1, 1, 3)
    stddev = jnp.asarray(STDDEV_RGB).reshape(1, 1, 1, 3)
    return (jnp.asarray(image).astype(jnp.float32) - mean) / stddev


class Detector(nn.Module):
    """A one-stage detector. Each section is the keyword arguments of its part.

    Attributes:
      num_classes: classes, no background among them (the heads are sigmoids).
      num_anchors: anchors per cell.
      levels: finest and coarsest pyramid level; the stride of level l is 2**l.
      backbone: `name`, a key of `BACKBONES`, and that backbone's arguments.
      neck: `name`, a key of `necks.NECKS`, and `necks.Neck`'s arguments.
      head: `heads.Head`'s arguments.
      batch_norm: `layers.BatchNorm`'s arguments.
      dtype: of activations; parameters, statistics and outputs stay float32.
    """

    num_classes: int
    num_anchors: int
    levels: tuple[int, int]
    backbone: Mapping[str, Any]
    neck: Mapping[str, Any]
    head: Mapping[str, int]
    batch_norm: Mapping[str, float]
    dtype: str

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"], *, train: bool) -> Outputs:
        """Returns the logits and box codes of every anchor for normalised images."""
        norm = functools.partial(BatchNorm, **self.batch_norm)
        backbone = {k: v for k, v in self.backbone.items() if k != "name"}
        neck = {k: v for k, v in self.neck.items() if k != "name"}
        features = BACKBONES[self.backbone["name"]](
            **backbone, norm=norm, name="backbone"
        )(image.astype(self.dtype), train=train)
        features = Neck(
            self.neck["name"], **neck, levels=self.levels, norm=norm, name="neck"
        )(features, train=train)
        head = functools.partial(
            Head, num_anchors=self.num_anchors, norm=norm, **self.head
        )
        logits = head(self.num_classes, name="class_head")(features, train=train)
        codes = head(4, name="box_head")(features, train=train)
        return Outputs(logits.astype(jnp.float32), codes.astype(jnp.float32))


def abstract_variables(model: Detector, image_size: tuple[int, int]) -> dict:
    """Returns the shapes of `params` and `batch_stats`; computes nothing."""
    image = jax.ShapeDtypeStruct((1, *image_size, 3), jnp.float32)
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), image)
