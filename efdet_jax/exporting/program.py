"""The whole detector as one function of images, to be traced for other machines."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp
from jaxtyping import Array, UInt8
from ml_collections import ConfigDict

from efdet_jax import evaluate
from efdet_jax.assemble import Assembly
from efdet_jax.structures import Detections, Tree

Images = UInt8[Array, "b h w 3"]
"""RGB, 0..255, of the network's size."""
Detect = Callable[[Any], Detections]
"""`Images` → what is found in each, in pixels of the network's input."""


class Program(NamedTuple):
    """A detector that needs nothing but images."""

    image_size: tuple[int, int]
    detect: Detect


def program(config: ConfigDict, assembly: Assembly, variables: Tree) -> Program:
    """Returns the detector of a config with its variables and its post-processing.

    Args:
      config: of the experiment, for `normalise` and `postprocess`.
      assembly: the network and its anchors.
      variables: `params` and `batch_stats`; they become constants where it is traced.
    """
    image_size = tuple(config.image_size)

    def detect(images: Images) -> Detections:
        detections, _ = evaluate.detect(
            jax.tree.map(jnp.asarray, variables),
            images,
            model=assembly.model,
            anchors=assembly.anchors,
            image_size=image_size,
            normalisation=config.normalise.to_dict(),
            settings=config.postprocess.to_dict(),
        )
        return detections

    return Program(image_size, detect)
