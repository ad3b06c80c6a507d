"""From a function that loads one example to batches: shuffled without end, or once all.

Grain's threads load single examples, `num_threads` at a time, in this process or in
some of their own. What a batch holds depends on the seed and its number alone, so a
stopped run resumes exactly, and a global batch is the same, row by row, on any number
of hosts, workers and threads.
"""

import functools
import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, Self

import grain
import numpy as np
from absl import flags

from efdet_jax.data.waiting import attend, patiently
from efdet_jax.errors import InputStopped

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
    num_workers: int
    """Processes that have these threads each; 0 is this process."""
    shard: tuple[int, int]
    """This host's index, and the number of hosts."""
    patience: float
    """Seconds without a batch until it is told what hangs; 0 is never."""


class Batches:
    """Batches one after another, from any of them on."""

    def __init__(self, examples: grain.MapDataset, batching: Batching) -> None:
        """Loads nothing yet.

        Args:
          examples: those of all hosts, in order.
          batching: see `Batching`.
        """
        self._examples = examples
        self._batching = batching
        self._next = 0
        self._iterator: grain.DatasetIterator | None = None
        self._others: list[BaseProcess] = []
        self._workers: list[BaseProcess] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._others = multiprocessing.active_children()
            self._iterator = _iterator(self._examples, self._batching, self._next)
        try:
            batch = patiently(
                functools.partial(next, self._iterator),
                patience=self._batching.patience,
                workers=self._processes,
            )
        except StopIteration:
            self.close()
            raise
        except InputStopped:
            # What hangs does not end when it is asked to.
            for worker in self._processes():
                worker.kill()
            raise
        self._processes()
        self._next += 1
        return batch

    def _processes(self) -> list[BaseProcess]:
        """Returns those that load images; one that has died stays among them."""
        if len(self._workers) < self._batching.num_workers:
            children = multiprocessing.active_children()
            self._workers = [one for one in children if one not in self._others]
        return self._workers

    def close(self) -> None:
        """Ends the threads and processes that read ahead."""
        if self._iterator is not None:
            self._iterator.close()
            self._iterator = None
            self._workers = []

    def get_state(self) -> dict[str, int]:
        """Returns what `set_state` takes, also after a way through JSON."""
        return {"next": self._next}

    def set_state(self, state: dict[str, int]) -> None:
        """Goes on with the batch that came next when the state was taken."""
        self.close()
        self._next = state["next"]


def shuffled(
    load: Callable[[int, np.random.Generator], Any],
    order: grain.MapDataset,
    batching: Batching,
) -> Batches:
    """Yields batches without end.

    Args:
      load: makes example `i`, with random numbers of its place in the stream.
      order: which example comes next, from `sampling.order`; its seed is that of the
        random numbers too.
      batching: see `Batching`.
    """
    # Randomness is tied to the place in the global stream: hosts slice after it.
    return Batches(order.random_map(load), batching)


def in_order(load: Callable[[int], Any], length: int, batching: Batching) -> Batches:
    """Yields every example once; each host yields as many batches.

    Args:
      load: makes example `i`, and from `length` on what only fills the last batches.
      length: the number of examples.
      batching: see `Batching`.
    """
    global_batch = batching.batch_size * batching.shard[1]
    padded_length = -(-length // global_batch) * global_batch
    return Batches(grain.MapDataset.range(padded_length).map(load), batching)


def _iterator(
    examples: grain.MapDataset, batching: Batching, first: int
) -> grain.DatasetIterator:
    """Yields this host's share of every batch from `first` on."""
    size, threads = batching.batch_size, batching.num_threads
    own = grain.MapDataset.source(_Share(examples, size, batching.shard, first))
    to_batch = functools.partial(_to_batch, record=batching.record)
    if batching.num_workers:
        # Whole batches, taken in turn: what one holds is not for workers to decide.
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
        batches = own.batch(size, batch_fn=to_batch).to_iter_dataset(options)
        # Grain reads its own flags, whether or not this program has a command line.
        flags.FLAGS.mark_as_parsed()
        workers = grain.MultiprocessingOptions(num_workers=batching.num_workers)
        prepare = functools.partial(attend, patience=batching.patience)
        return iter(batches.mp_prefetch(workers, worker_init_fn=prepare))
    options = grain.ReadOptions(
        num_threads=threads,
        prefetch_buffer_size=_PREFETCHED_BATCHES * size if threads else 0,
    )
    return iter(own.to_iter_dataset(options).batch(size, batch_fn=to_batch))


class _Share:
    """The examples of one host, for Grain: its rows of each global batch, in order."""

    def __init__(
        self,
        examples: grain.MapDataset,
        batch_size: int,
        shard: tuple[int, int],
        first: int,
    ):
        self._examples = examples
        self._size = batch_size
        self._index, self._count = shard
        self._first = first

    def __len__(self) -> int:
        whole = len(self._examples) // (self._size * self._count) - self._first
        return max(0, whole) * self._size

    def __getitem__(self, index: int) -> Any:
        batch, row = divmod(index, self._size)
        start = ((self._first + batch) * self._count + self._index) * self._size
        return self._examples[start + row]


def _to_batch(examples: Sequence[Any], *, record: Callable[..., Any]) -> Any:
    return record(*(np.stack(column) for column in zip(*examples, strict=True)))
