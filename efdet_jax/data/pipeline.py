"""From a source of images to padded batches, to train on or to score."""

import functools
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from efdet_jax.data import sampling, transforms
from efdet_jax.data.augment.chain import Options, augmented
from efdet_jax.data.augment.example import Example, as_example
from efdet_jax.data.augment.geometry import Frame
from efdet_jax.data.sound import Sound, read_sound
from efdet_jax.data.source import Source
from efdet_jax.data.streams import Batches, Batching, in_order, shuffled
from efdet_jax.errors import UsageError
from efdet_jax.structures import BACKGROUND, IGNORED, Batch

_LOG = logging.getLogger(__name__)


class _Row(NamedTuple):
    """One row of a `Batch`."""

    image: UInt8[np.ndarray, "h w 3"]
    boxes: Float[np.ndarray, "m 4"]
    classes: Int[np.ndarray, " m"]
    image_index: np.int32
    scale: Float[np.ndarray, " 2"]


def train_batches(
    source: Source,
    *,
    image_size: tuple[int, int],
    batch_size: int,
    resize: str,
    pad_colour: tuple[float, float, float],
    max_boxes: int,
    flip: bool,
    jitter: tuple[float, float],
    min_visible: float,
    augment: Mapping[str, Any],
    max_broken: float,
    seed: int,
    num_threads: int,
    num_workers: int,
    shard: tuple[int, int],
    patience: float,
    repeats: Float[np.ndarray, " n"] | None = None,
) -> Batches:
    """Yields batches without end, every image once per epoch in an order of its own.

    Boxes that a cut leaves too little of are dropped. An image with more than
    `max_boxes` objects shows a random choice of them; crowd regions take the rows that
    objects leave. `Batch.scale` leaves the crop's offset out, so it maps sizes back but
    not positions; where images are mixed it is that of `image_index`.

    Args:
      source: the images, at least one; may be fewer than a batch.
      image_size: height and width of the network input, pixels.
      batch_size: images per batch on this host.
      resize: how an image becomes an input, a key of `transforms.RESIZES`.
      pad_colour: what surrounds it, 0..255.
      max_boxes: rows of ground truth per image.
      flip: whether to mirror every other image, at random.
      jitter: smallest and largest factor of the random scale; with (1, 1) training sees
        what evaluation sees.
      min_visible: share of a box that all cuts together must leave; 0 is any area.
      augment: what else may happen, the fields of `augment.chain.Options`.
      max_broken: share of the images that may be broken; the next stands in for one.
      seed: of order and augmentation.
      num_threads: threads that load images; 0 loads in the caller's own.
      num_workers: processes that have these threads each; 0 is this process.
      shard: this host's index, and the number of hosts.
      patience: seconds without a batch until it is told what hangs; 0 is never.
      repeats: how often an epoch shows each image, of `sampling.repeats`; None is once.

    Returns:
      An iterator of `Batch`; `get_state` and `set_state` exchange a small dict that
      survives JSON and continues with exactly the next batch.
    """
    draw = functools.partial(
        _drawn,
        max_boxes=max_boxes,
        source=Sound(source, max_broken=max_broken),
        frame=Frame(image_size, resize, jitter, pad_colour, min_visible),
        flip=flip,
        options=Options(**augment),
    )
    batching = Batching(Batch, batch_size, num_threads, num_workers, shard, patience)
    order = sampling.order(len(source), repeats, seed=seed)
    return shuffled(draw, order, batching)


def eval_batches(
    source: Source,
    *,
    image_size: tuple[int, int],
    batch_size: int,
    resize: str,
    pad_colour: tuple[float, float, float],
    max_boxes: int,
    num_threads: int,
    num_workers: int,
    shard: tuple[int, int],
    patience: float,
) -> Batches:
    """Yields every image once, in order; each host yields as many batches.

    Rows that only fill the last batches are blank, with `image_index` -1. So is a
    broken image, with its own index: nothing is found in it, which is logged. Ground
    truth is there to be looked at: scores come from the annotations of the source. It
    leaves out whatever exceeds `max_boxes`.

    Args:
      source: the images.
      image_size: height and width of the network input, pixels.
      batch_size: images per batch on this host.
      resize: how an image becomes an input, a key of `transforms.RESIZES`.
      pad_colour: what surrounds it, 0..255.
      max_boxes: rows of ground truth per image.
      num_threads: threads that load images; 0 loads in the caller's own.
      num_workers: processes that have these threads each; 0 is this process.
      shard: this host's index, and the number of hosts.
      patience: seconds without a batch until it is told what hangs; 0 is never.
    """
    load = functools.partial(
        _scored,
        source=source,
        image_size=image_size,
        resize=resize,
        pad_colour=pad_colour,
        max_boxes=max_boxes,
    )
    batching = Batching(Batch, batch_size, num_threads, num_workers, shard, patience)
    return in_order(load, len(source), batching)


def fitted(
    example: Example,
    *,
    image_size: tuple[int, int],
    resize: str,
    pad_colour: tuple[float, float, float],
) -> Example:
    """Returns an image as evaluation sees it, with its boxes.

    Args:
      example: of any size.
      image_size: height and width of the network input, pixels.
      resize: how an image becomes an input, a key of `transforms.RESIZES`.
      pad_colour: what surrounds it, 0..255.
    """
    placement = transforms.place(
        example.image.shape[:2],
        output_size=image_size,
        resize=resize,
    )
    return example._replace(
        image=transforms.place_image(
            example.image, placement, output_size=image_size, pad_colour=pad_colour
        ),
        boxes=example.boxes * np.tile(placement.scale, 2),
        scale=1 / np.array(placement.scale),
    )


def _drawn(
    image_index: int, rng: np.random.Generator, *, max_boxes: int, **settings: Any
) -> _Row:
    """Loads an image as training sees it; `settings` are those of `augmented`."""
    example = augmented(image_index, rng, **settings)
    objects = np.flatnonzero(example.classes != IGNORED)
    if len(objects) > max_boxes:
        objects = np.sort(rng.choice(objects, max_boxes, replace=False))
    return _padded(example, objects, image_index=image_index, max_boxes=max_boxes)


def _scored(
    position: int,
    *,
    source: Source,
    image_size: tuple[int, int],
    resize: str,
    pad_colour: tuple[float, float, float],
    max_boxes: int,
) -> _Row:
    """Loads an image as evaluation sees it; a blank one beyond the end."""
    if position >= len(source):
        return _blank(image_size, image_index=-1, max_boxes=max_boxes)
    try:
        example = as_example(read_sound(source, position))
    except UsageError as error:
        _LOG.warning("%s; scored as an image in which nothing is found", error)
        return _blank(image_size, image_index=position, max_boxes=max_boxes)
    example = fitted(
        example, image_size=image_size, resize=resize, pad_colour=pad_colour
    )
    objects = np.flatnonzero(example.classes != IGNORED)[:max_boxes]
    return _padded(example, objects, image_index=position, max_boxes=max_boxes)


def _blank(image_size: tuple[int, int], *, image_index: int, max_boxes: int) -> _Row:
    return _Row(
        image=np.zeros((*image_size, 3), np.uint8),
        boxes=np.zeros((max_boxes, 4), np.float32),
        classes=np.full((max_boxes,), BACKGROUND, np.int32),
        image_index=np.int32(image_index),
        scale=np.ones(2, np.float32),
    )


def _padded(
    example: Example,
    objects: Int[np.ndarray, " o"],
    *,
    image_index: int,
    max_boxes: int,
) -> _Row:
    """Returns the chosen objects, as many crowds as fit, and rows of nothing."""
    crowds = np.flatnonzero(example.classes == IGNORED)
    kept = np.concatenate([objects, crowds])[:max_boxes]
    missing = max_boxes - len(kept)
    return _Row(
        image=example.image,
        boxes=np.pad(example.boxes[kept], ((0, missing), (0, 0))).astype(np.float32),
        classes=np.pad(
            example.classes[kept], (0, missing), constant_values=BACKGROUND
        ).astype(np.int32),
        image_index=np.int32(image_index),
        scale=example.scale.astype(np.float32),
    )
