"""What happens to a training image, in which order, and with whose random numbers."""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from efdet_jax.data.augment import geometry, mixing
from efdet_jax.data.augment.colour import colour_jitter
from efdet_jax.data.augment.example import Example, load
from efdet_jax.data.augment.geometry import Frame
from efdet_jax.data.sound import Sound

_CROP, _COLOUR, _MOSAIC, _MIXUP = range(1, 5)
"""Options that have random numbers of their own, so that none shifts another's."""


class Options(NamedTuple):
    """What may happen besides flip and scale jitter."""

    crop: float
    """Probability of `geometry.random_crop`."""
    crop_side: tuple[float, float]
    """Its smallest and largest height and width, as shares of the image's."""
    colour: Mapping[str, float]
    """Strengths of `colour.colour_jitter`; all 0 is off."""
    mosaic: float
    """Probability of `mixing.mosaic`."""
    mixup: float
    """Probability of `mixing.mixup`."""
    mixup_beta: float
    """How near to one half its shares are."""


def augmented(
    image_index: int,
    rng: np.random.Generator,
    *,
    source: Sound,
    frame: Frame,
    flip: bool,
    options: Options,
) -> Example:
    """Loads an image and changes it at random into an input of the network.

    Flip, crop and colours are each image's own; scale jitter or a mosaic brings it to
    the size of the input; mixup adds another image of that size. Other images are
    drawn from the whole source, each as likely, and decoded only where they are used.

    Args:
      image_index: of the image in the source.
      rng: of this place in the stream.
      source: the images.
      frame: what the image is to fit.
      flip: whether to mirror every other image.
      options: what else may happen.
    """
    mosaic_rng = _chance(options.mosaic, rng, _MOSAIC)
    mixup_rng = _chance(options.mixup, rng, _MIXUP)
    prepared = functools.partial(
        _prepared,
        source=source,
        flip=flip,
        min_visible=frame.min_visible,
        options=options,
    )
    example = prepared(image_index, rng)
    if mosaic_rng is None:
        example = geometry.scale_jitter(example, rng, frame=frame)
    else:
        others = _others(source, mosaic_rng, mixing.MOSAIC_TILES - 1)
        tiles = [example, *(prepared(i, own) for i, own in others)]
        example = mixing.mosaic(tiles, mosaic_rng, frame=frame)
    if mixup_rng is not None:
        ((i, own),) = _others(source, mixup_rng, 1)
        other = geometry.scale_jitter(prepared(i, own), own, frame=frame)
        example = mixing.mixup(example, other, mixup_rng, beta=options.mixup_beta)
    return example


def _prepared(
    image_index: int,
    rng: np.random.Generator,
    *,
    source: Sound,
    flip: bool,
    min_visible: float,
    options: Options,
) -> Example:
    """Loads an image and does to it what leaves it of any size."""
    crop_rng = _chance(options.crop, rng, _CROP)
    colour_rng = _chance(float(any(options.colour.values())), rng, _COLOUR)
    example = load(source, image_index)
    example = geometry.flip(example, rng, probability=0.5 if flip else 0.0)
    if crop_rng is not None:
        example = geometry.random_crop(
            example, crop_rng, side=options.crop_side, min_visible=min_visible
        )
    if colour_rng is not None:
        example = colour_jitter(example, colour_rng, **options.colour)
    return example


def _chance(
    probability: float, rng: np.random.Generator, option: int
) -> np.random.Generator | None:
    """Returns the random numbers of an option where it is to happen.

    They lie too far ahead of `rng` to be met, and `rng` is left as it is.
    """
    if probability == 0:
        return None
    # Grain's generators are Philox, which has what its base class has not.
    bits = rng.bit_generator.jumped(option)  # pyrefly: ignore[missing-attribute]
    own = np.random.Generator(bits)
    return own if own.random() < probability else None


def _others(
    source: Sound, rng: np.random.Generator, count: int
) -> list[tuple[int, np.random.Generator]]:
    """Returns other images by index, each with random numbers of its own."""
    indices = rng.integers(len(source), size=count)
    seeds = rng.integers(2**63, size=count)
    return [
        (index, np.random.default_rng(seed))
        for index, seed in zip(indices.tolist(), seeds.tolist(), strict=True)
    ]
