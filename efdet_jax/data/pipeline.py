"""From a source of images to padded batches, to train on or to score."""

import functools
from typing import NamedTuple

import grain
import numpy as np
from jaxtyping import Float, Int, UInt8

from efdet_jax.data import transforms
from efdet_jax.data.source import Source
from efdet_jax.data.streams import Batching, in_order, shuffled
from efdet_jax.structures import BACKGROUND, Annotations, Batch


class _Example(NamedTuple):
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
    seed: int,
    num_threads: int,
    shard: tuple[int, int],
) -> grain.DatasetIterator:
    """Yields batches without end, every image once per epoch in an order of its own.

    Crowd regions and boxes that the crop leaves without area are dropped. An image with
    more than `max_boxes` objects shows a random choice of them. `Batch.scale` leaves
    the crop's offset out, so it maps sizes back but not positions.

    Args:
      source: the images, at least one; may be fewer than a batch.
      image_size: height and width of the network input, pixels.
      batch_size: images per batch on this host.
      resize: how an image becomes an input, a key of `transforms.RESIZES`.
      pad_colour: what surrounds it: the mean that normalisation subtracts, 0..255.
      max_boxes: rows of ground truth per image.
      flip: whether to mirror every other image, at random.
      jitter: smallest and largest factor of the random scale; with (1, 1) training sees
        what evaluation sees.
      seed: of order, flips, scales and crops.
      num_threads: threads that load images; 0 loads in the caller's own.
      shard: this host's index, and the number of hosts.

    Returns:
      An iterator of `Batch`; `get_state` and `set_state` exchange a small dict that
      survives JSON and continues with exactly the next batch.
    """
    augment = functools.partial(
        _augmented,
        source=source,
        image_size=image_size,
        resize=resize,
        pad_colour=pad_colour,
        max_boxes=max_boxes,
        flip=flip,
        jitter=jitter,
    )
    batching = Batching(Batch, batch_size, num_threads, shard)
    return shuffled(augment, len(source), batching, seed=seed)


def eval_batches(
    source: Source,
    *,
    image_size: tuple[int, int],
    batch_size: int,
    resize: str,
    pad_colour: tuple[float, float, float],
    max_boxes: int,
    num_threads: int,
    shard: tuple[int, int],
) -> grain.DatasetIterator:
    """Yields every image once, in order; each host yields as many batches.

    Rows that only fill the last batches are blank, with `image_index` -1. Ground truth
    is there to be looked at: scores come from the annotations of the source. It leaves
    out crowd regions and whatever exceeds `max_boxes`.

    Args:
      source: the images.
      image_size: height and width of the network input, pixels.
      batch_size: images per batch on this host.
      resize: how an image becomes an input, a key of `transforms.RESIZES`.
      pad_colour: what surrounds it: the mean that normalisation subtracts, 0..255.
      max_boxes: rows of ground truth per image.
      num_threads: threads that load images; 0 loads in the caller's own.
      shard: this host's index, and the number of hosts.
    """
    load = functools.partial(
        _fitted,
        source=source,
        image_size=image_size,
        resize=resize,
        pad_colour=pad_colour,
        max_boxes=max_boxes,
    )
    batching = Batching(Batch, batch_size, num_threads, shard)
    return in_order(load, len(source), batching)


def _augmented(
    image_index: int,
    rng: np.random.Generator,
    *,
    source: Source,
    image_size: tuple[int, int],
    resize: str,
    pad_colour: tuple[float, float, float],
    max_boxes: int,
    flip: bool,
    jitter: tuple[float, float],
) -> _Example:
    """Loads an image and flips, scales and crops it at random."""
    image = source.image(image_index)
    boxes, classes = _objects(source.annotations(image_index))
    # Always the same draws, so that one setting does not shift the others' numbers.
    is_flipped = rng.random() < 0.5
    scale_factor = rng.uniform(*jitter)
    crop_y, crop_x = rng.random(2)
    if flip and is_flipped:
        boxes = transforms.flip_boxes(boxes, width=image.shape[1])
        image = transforms.flip_image(image)
    placement = transforms.place(
        image.shape[:2],
        output_size=image_size,
        resize=resize,
        scale_factor=scale_factor,
        crop=(crop_y, crop_x),
    )
    boxes = transforms.place_boxes(boxes, placement, output_size=image_size)
    kept = np.flatnonzero(transforms.has_area(boxes))
    if len(kept) > max_boxes:
        kept = np.sort(rng.choice(kept, max_boxes, replace=False))
    return _padded(
        transforms.place_image(
            image, placement, output_size=image_size, pad_colour=pad_colour
        ),
        boxes[kept],
        classes[kept],
        image_index=image_index,
        max_boxes=max_boxes,
        scale=1 / np.array(placement.scale),
    )


def _fitted(
    position: int,
    *,
    source: Source,
    image_size: tuple[int, int],
    resize: str,
    pad_colour: tuple[float, float, float],
    max_boxes: int,
) -> _Example:
    """Loads an image as evaluation sees it; a blank one beyond the end."""
    if position >= len(source):
        return _padded(
            np.zeros((*image_size, 3), np.uint8),
            np.zeros((0, 4), np.float32),
            np.zeros((0,), np.int32),
            image_index=-1,
            max_boxes=max_boxes,
            scale=np.ones(2),
        )
    image = source.image(position)
    boxes, classes = _objects(source.annotations(position))
    placement = transforms.place(
        image.shape[:2],
        output_size=image_size,
        resize=resize,
        scale_factor=1.0,
        crop=(0.0, 0.0),
    )
    return _padded(
        transforms.place_image(
            image, placement, output_size=image_size, pad_colour=pad_colour
        ),
        boxes[:max_boxes] * np.tile(placement.scale, 2),
        classes[:max_boxes],
        image_index=position,
        max_boxes=max_boxes,
        scale=1 / np.array(placement.scale),
    )


def _objects(
    annotations: Annotations,
) -> tuple[Float[np.ndarray, "kept 4"], Int[np.ndarray, " kept"]]:
    """Returns boxes and classes of what is neither a crowd nor without area."""
    kept = ~annotations.is_crowd & transforms.has_area(annotations.boxes)
    return annotations.boxes[kept], annotations.classes[kept]


def _padded(
    image: UInt8[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "n 4"],
    classes: Int[np.ndarray, " n"],
    *,
    image_index: int,
    max_boxes: int,
    scale: Float[np.ndarray, " 2"],
) -> _Example:
    """Fills the rows beyond the objects: zero boxes of no class."""
    missing = max_boxes - len(boxes)
    return _Example(
        image=image,
        boxes=np.pad(boxes, ((0, missing), (0, 0))).astype(np.float32),
        classes=np.pad(classes, (0, missing), constant_values=BACKGROUND).astype(
            np.int32
        ),
        image_index=np.int32(image_index),
        scale=scale.astype(np.float32),
    )
