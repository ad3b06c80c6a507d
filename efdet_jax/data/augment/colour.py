"""Changing the colours of an image at random; boxes stay where they are."""

import cv2
import numpy as np
from jaxtyping import Float

from efdet_jax.data.augment.example import Example

_RED, _GREEN, _BLUE = np.eye(3)
_LUMA = 0.30 * _RED + 0.59 * _GREEN + 0.11 * _BLUE
_YIQ = np.stack(
    [
        _LUMA,
        0.74 * (_RED - _LUMA) - 0.27 * (_BLUE - _LUMA),
        0.48 * (_RED - _LUMA) + 0.41 * (_BLUE - _LUMA),
    ]
)
"""From RGB to luma and chroma. Source: NTSC's, as in Python's `colorsys`."""
_RGB = np.linalg.inv(_YIQ)


def colour_jitter(
    example: Example,
    rng: np.random.Generator,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
) -> Example:
    """Changes brightness, contrast, saturation and hue, in this order, at random.

    All four are linear, so that they are one matrix per pixel: fast, and rounded once.

    Differs: torchvision's `ColorJitter` draws an order, clips after each step, and
      turns hue in HSV. Here hue turns in the chroma plane of YIQ, which keeps luma.

    Args:
      example: of any size.
      rng: draws four numbers, whatever the strengths.
      brightness: 0 to 1; pixels are multiplied by 1 +- this.
      contrast: 0 to 1; distances to the image's mean luma are multiplied by 1 +- this.
      saturation: 0 to 1; distances to the pixel's own luma are multiplied by 1 +- this.
      hue: 0 to 0.5; colours are turned by +- this share of the circle.
    """
    light, spread, chroma, turn = rng.uniform(-1, 1, size=4)
    mean = float(_LUMA @ cv2.mean(example.image)[:3])
    matrix = colour_matrix(
        mean,
        brightness=1 + brightness * light,
        contrast=1 + contrast * spread,
        saturation=1 + saturation * chroma,
        hue=hue * turn,
    )
    return example._replace(image=cv2.transform(example.image, matrix))


def colour_matrix(
    mean: float,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
) -> Float[np.ndarray, "3 4"]:
    """Returns what multiplies (red, green, blue, 1) to give the changed colour.

    Args:
      mean: luma of the image, 0..255, which contrast leaves as it is.
      brightness: factor; 1 changes nothing.
      contrast: factor.
      saturation: factor; 0 gives greys.
      hue: turn of the chroma plane, in shares of the circle.
    """
    sine, cosine = np.sin(2 * np.pi * hue), np.cos(2 * np.pi * hue)
    chroma = np.eye(3)
    chroma[1:, 1:] = saturation * np.array([[cosine, -sine], [sine, cosine]])
    turned = brightness * contrast * (_RGB @ chroma @ _YIQ)
    # Grey, and so untouched by saturation and hue.
    offset = (1 - contrast) * brightness * mean * np.ones((3, 1))
    return np.concatenate([turned, offset], axis=1)
