"""From a function that loads one example to batches: shuffled without end, or once all.

Grain's threads load single examples, `num_threads` at a time. What a batch holds
depends on the seed and its number alone, so a stopped run resumes exactly and the
examples of one global batch are the same on any number of hosts.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import grain
import numpy as np

_PREFETCHED_BATCHES = 2
"""Batches kept ready, so that one slow decode does not stop the device."""


class Batching(NamedTuple):
    """How examples become batches on one of several hosts."""

    record: Callable[..., Any]
    """Makes a batch of the columns of its examples."""
    batch_size: int
    """Examples per batch on this host."""
    num_threads: int
    """Threads that load examples; 0 loads in the caller's own."""
    shard: tuple[int, int]
    """This host's index, and the number of hosts."""


def shuffled(
    load: Callable[[int, np.random.Generator], Any],
    order: grain.MapDataset,
    batching: Batching,
) -> grain.DatasetIterator:
    """Yields batches without end.

    Args:
      load: makes example `i`, with random numbers of its place in the stream.
      order: which example comes next, from `sampling.order`; its seed is that of the
        random numbers too.
      batching: see `Batching`.
    """
    # Randomness is tied to the place in the global stream: hosts slice after it.
    return _batched(order.random_map(load), batching)


def in_order(
    load: Callable[[int], Any], length: int, batching: Batching
) -> grain.DatasetIterator:
    """Yields every example once; each host yields as many batches.

    Args:
      load: makes example `i`, and from `length` on what only fills the last batches.
      length: the number of examples.
      batching: see `Batching`.
    """
    global_batch = batching.batch_size * batching.shard[1]
    padded_length = -(-length // global_batch) * global_batch
    return _batched(grain.MapDataset.range(padded_length).map(load), batching)


def _batched(examples: grain.MapDataset, batching: Batching) -> grain.DatasetIterator:
    index, count = batching.shard
    size, threads = batching.batch_size, batching.num_threads
    options = grain.ReadOptions(
        num_threads=threads,
        prefetch_buffer_size=_PREFETCHED_BATCHES * size if threads else 0,
    )
    to_batch = functools.partial(_to_batch, record=batching.record)
    loaded = examples[index::count].to_iter_dataset(options)
    return iter(loaded.batch(size, batch_fn=to_batch))


def _to_batch(examples: Sequence[Any], *, record: Callable[..., Any]) -> Any:
    return record(*(np.stack(column) for column in zip(*examples, strict=True)))
