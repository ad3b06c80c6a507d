"""From a source of images with one class each to batches, to train on or to score."""

import logging
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from efdet_jax.data import crops, sampling
from efdet_jax.data.sound import Sound, read_sound
from efdet_jax.data.source import Source
from efdet_jax.data.streams import Batches, Batching, in_order, shuffled
from efdet_jax.data.transforms import flip_image
from efdet_jax.errors import UsageError
from efdet_jax.structures import BACKGROUND, LabelledBatch

_LOG = logging.getLogger(__name__)


class _Example(NamedTuple):
    """One row of a `LabelledBatch`."""

    image: UInt8[np.ndarray, "h w 3"]
    class_: np.int32
    image_index: np.int32


def train_batches(
    source: Source,
    *,
    image_size: tuple[int, int],
    batch_size: int,
    crop_area: tuple[float, float],
    crop_aspect: tuple[float, float],
    flip: bool,
    max_broken: float,
    seed: int,
    num_threads: int,
    num_workers: int,
    shard: tuple[int, int],
    patience: float,
) -> Batches:
    """Yields batches without end, every image once per epoch in an order of its own.

    Args:
      source: images with one class each, at least one.
      image_size: height and width of the network input, pixels.
      batch_size: images per batch on this host.
      crop_area: see `crops.random_crop`.
      crop_aspect: likewise.
      flip: whether to mirror every other image, at random.
      max_broken: share of the images that may be broken; the next stands in for one.
      seed: of order, crops and mirrors.
      num_threads: threads that load images; 0 loads in the caller's own.
      num_workers: processes that have these threads each; 0 is this process.
      shard: this host's index, and the number of hosts.
      patience: seconds without a batch until it is told what hangs; 0 is never.

    Returns:
      An iterator of `LabelledBatch`, whose state is saved as that of
      `pipeline.train_batches`.
    """
    sound = Sound(source, max_broken=max_broken)

    def load(i: int, rng: np.random.Generator) -> _Example:
        image, annotations = sound.next_sound(i)
        # Always the same draws, so that one setting does not shift the others' numbers.
        is_flipped = rng.random() < 0.5
        size = image.shape[0], image.shape[1]
        crop = crops.random_crop(size, area=crop_area, aspect=crop_aspect, rng=rng)
        image = crops.cut(image, crop, output_size=image_size)
        if flip and is_flipped:
            image = flip_image(image)
        return _Example(image, np.int32(annotations.classes[0]), np.int32(i))

    batching = Batching(
        LabelledBatch, batch_size, num_threads, num_workers, shard, patience
    )
    order = sampling.order(len(source), None, seed=seed)
    return shuffled(load, order, batching)


def eval_batches(
    source: Source,
    *,
    image_size: tuple[int, int],
    batch_size: int,
    crop_padding: int,
    num_threads: int,
    num_workers: int,
    shard: tuple[int, int],
    patience: float,
) -> Batches:
    """Yields the middle of every image once, in order; blank rows fill the last batch.

    Args:
      source: images with one class each.
      image_size: height and width of the network input, pixels.
      batch_size: images per batch on this host.
      crop_padding: see `crops.central_crop`.
      num_threads: threads that load images; 0 loads in the caller's own.
      num_workers: processes that have these threads each; 0 is this process.
      shard: this host's index, and the number of hosts.
      patience: seconds without a batch until it is told what hangs; 0 is never.
    """

    def load(position: int) -> _Example:
        blank = np.zeros((*image_size, 3), np.uint8)
        if position >= len(source):
            return _Example(blank, np.int32(BACKGROUND), np.int32(-1))
        try:
            image, annotations = read_sound(source, position)
        except UsageError as error:
            _LOG.warning("%s; scored as a blank image", error)
            class_ = source.annotations(position).classes[0]
            return _Example(blank, np.int32(class_), np.int32(position))
        crop = crops.central_crop(
            (image.shape[0], image.shape[1]),
            output_size=image_size,
            padding=crop_padding,
        )
        image = crops.cut(image, crop, output_size=image_size)
        class_ = np.int32(annotations.classes[0])
        return _Example(image, class_, np.int32(position))

    batching = Batching(
        LabelledBatch, batch_size, num_threads, num_workers, shard, patience
    )
    return in_order(load, len(source), batching)
