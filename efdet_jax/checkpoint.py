"""Saving and restoring a run; the one module that knows Orbax.

A checkpoint is a folder with its step for a name. It is sealed, and only then gets that
name: what has it is whole, unless something damaged it afterwards, and then the one
before it counts.
"""

import contextlib
import logging
import math
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from flax import serialization

from efdet_jax import hosts
from efdet_jax.errors import NotSaved, UsageError
from efdet_jax.packing import Packed, is_place, pack, unpack
from efdet_jax.seals import flaw, steps, write_seal
from efdet_jax.structures import Tree

_LOG = logging.getLogger(__name__)

_UNFINISHED = ".orbax-checkpoint-tmp"
"""How the name of a folder ends that is not a checkpoint yet, or no longer."""
_STILL_WRITTEN = ("_CHECKPOINT_METADATA",)
"""What Orbax changes in a checkpoint when it gets its name; nothing is read from it."""
_MOST_PER_BYTE, _MOST_OF_NOTHING = 16, 2**20
"""Bytes of arrays for each byte of a checkpoint, which packs them, and beside that."""


class Restored(NamedTuple):
    """What a checkpoint held: the state, and what `save` was given beside it.

    Arrays are NumPy's.
    """

    step: int
    state: Tree
    progress: dict


class Checkpoints:
    """The checkpoints of one run, written in the background."""

    def __init__(self, folder: pathlib.Path, *, keep: int, if_it_fails: str):
        """Opens the folder of a run that trains, and tidies it up.

        What a run that was killed left unfinished is removed; a checkpoint that is
        damaged is moved to a folder beside, `damaged`, and told of.

        Args:
          folder: of the checkpoints; there is no need for it to exist.
          keep: how many are kept, the newest ones; the best is kept beside them.
          if_it_fails: one of `config.IF_NOT_SAVED`.

        Raises:
          UsageError: there are checkpoints, and all of them are damaged; or something
            else is in their place.
        """
        self._folder = folder.absolute()
        self._keep = keep
        self._goes_on = if_it_fails == "go on"
        self._best: int | None = None
        self._has_saved = False
        self._newest: int | None = hosts.first_does(self._tidy_up)
        self._saver = ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(),
            async_options=ocp.options.AsyncOptions(
                post_finalization_callback=self._seal
            ),
        )

    def _tidy_up(self) -> int | None:
        """Leaves only what is whole; returns the step of the newest of it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{self._folder} is no folder that checkpoints can be written to "
                f"({error.strerror}): remove it, or use another --workdir"
            ) from error
        self._remove_unfinished()
        newest, damaged = _newest_whole(self._folder)
        for step in damaged:
            _move_to(self._folder / str(step), self._folder.parent / "damaged")
        return newest

    def save(self, step: int, state: Tree, progress: dict, *, best: int | None) -> None:
        """Starts to write a checkpoint; returns once the arrays are copied.

        Args:
          step: its number.
          state: a pytree of arrays, on the host or whole on every device.
          progress: whatever else the run needs to go on, as JSON holds it.
          best: the step of the best checkpoint, which is kept; None if there is none.

        Raises:
          NotSaved: this one or the last one could not be written, and the run is to
            stop then. Those before are as they were.
        """
        self._settle()
        self._best, self._has_saved = best, True
        packed = pack(state)
        items = ocp.args.Composite(
            state=ocp.args.PyTreeSave(packed.arrays),
            index=ocp.args.JsonSave(packed.index),
            progress=ocp.args.JsonSave(progress),
        )
        try:
            self._saver.save(self._folder / str(step), args=items)
        except Exception as error:
            self._report(error)

    def restore_latest(self, like: Tree) -> Restored | None:
        """Returns the newest checkpoint, or None.

        Args:
          like: a state with the arrays that are expected, by names and shapes.

        Raises:
          UsageError: it has others.
        """
        if self._newest is None:
            return None
        return _restore(self._folder / str(self._newest), like)

    def latest_progress(self) -> dict | None:
        """Returns what the newest checkpoint holds beside the state, None if none."""
        if self._newest is None:
            return None
        path = self._folder / str(self._newest)
        with _readable(path), _reader() as reader:
            return _read_json(reader, path, "progress")

    def close(self) -> None:
        """Waits until everything is on disk.

        Raises:
          NotSaved: the last checkpoint could not be written, whatever the run does
            about others: nobody will write it later.
        """
        self._goes_on = False
        try:
            self._settle()
        finally:
            self._saver.close()

    def _seal(self) -> None:
        """Seals the checkpoint that is written and has no name yet."""
        (unnamed,) = self._folder.glob(f"*{_UNFINISHED}")
        write_seal(unnamed, besides=_STILL_WRITTEN)

    def _settle(self) -> None:
        """Waits for the checkpoint that is being written; removes what is too old."""
        try:
            self._saver.wait_until_finished()
        except Exception as error:
            self._report(error)
        # Which one is the best, only who saves has said.
        is_ours = self._has_saved and hosts.is_first()
        saved = steps(self._folder) if is_ours else []
        for step in saved[: -self._keep]:
            if step != self._best:
                # Under its name it would be half a checkpoint for a while.
                path = self._folder / str(step)
                path.rename(path.with_name(f"{step}{_UNFINISHED}"))
                self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        for left in self._folder.glob(f"*{_UNFINISHED}*"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()

    def _report(self, error: Exception) -> None:
        if hosts.is_first():
            # What there is of it takes room that the next one needs.
            self._remove_unfinished()
        saved = steps(self._folder)
        reason = str(error).strip().splitlines()[0]
        message = (
            f"a checkpoint could not be written to {self._folder} ({reason}): the "
            f"newest is that of step {saved[-1] if saved else 0}; make room"
        )
        if not self._goes_on:
            raise NotSaved(f"{message}, and run the same command again") from error
        _LOG.warning("%s", message)


def read_latest(folder: pathlib.Path) -> Restored | None:
    """Returns the newest checkpoint, whatever its model; or None.

    `state` is made of dicts, with the fields that were saved by name. Changes nothing.

    Raises:
      UsageError: there are checkpoints, and all of them are damaged; or the newest
        has what nobody has saved.
    """
    step = hosts.first_does(lambda: _newest_whole(folder.absolute())[0])
    if step is None:
        return None
    path = folder.absolute() / str(step)
    _check_claim(path)
    return _restore(path, None)


def write_tree(folder: pathlib.Path, tree: Tree) -> None:
    """Writes arrays to a folder that does not exist."""
    with ocp.StandardCheckpointer() as writer:
        writer.save(folder, tree)


def read_tree(folder: pathlib.Path, like: Tree) -> Tree:
    """Returns the arrays that `write_tree` wrote, laid out on devices like others.

    Raises:
      UsageError: they have other shapes.
    """
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    try:
        with ocp.StandardCheckpointer() as reader:
            return reader.restore(folder, abstract)
    except ValueError as error:
        raise UsageError(
            f"{folder} was written with another config: {str(error).splitlines()[0]}"
        ) from error


def _reader() -> ocp.Checkpointer:
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


def _read_json(reader: ocp.Checkpointer, path: pathlib.Path, item: str) -> dict:
    args = ocp.args.Composite(**{item: ocp.args.JsonRestore()})
    read = reader.restore(path, args=args)[item]
    if not isinstance(read, dict):
        raise ValueError(f"its {item} is no object")
    return read


def _restore(path: pathlib.Path, like: Tree | None) -> Restored:
    """Reads a checkpoint; its state as dicts, or as a pytree like another.

    Raises:
      UsageError: the other has other arrays.
    """
    with _readable(path), _reader() as reader:
        progress = _read_json(reader, path, "progress")
        state = _read_state(reader, path)
    if like is not None:
        _check_same(state, serialization.to_state_dict(like), path)
        state = serialization.from_state_dict(like, state)
    return Restored(int(path.name), state, progress)


def _read_state(reader: ocp.Checkpointer, path: pathlib.Path) -> Any:
    """Returns what `serialization.to_state_dict` made of a state."""
    if not (path / "index").is_dir():
        # Of version 0.1, when each array was written by itself.
        args = ocp.args.Composite(state=ocp.args.StandardRestore())
        state = reader.restore(path, args=args)["state"]
        return serialization.to_state_dict(jax.tree.map(np.asarray, state))
    index = _read_json(reader, path, "index")
    names = {name for name, _, _ in jax.tree.leaves(index, is_leaf=is_place)}
    on_host = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
    args = ocp.args.PyTreeRestore(restore_args=on_host)
    arrays = reader.restore(path, args=ocp.args.Composite(state=args))["state"]
    return unpack(Packed(arrays, index))


def _check_same(state: Tree, other: Tree, path: pathlib.Path) -> None:
    """Checks that a state that was read has the arrays of another, by name and shape.

    Raises:
      UsageError: it has not.
    """
    found, expected = (
        {
            jax.tree_util.keystr(name, simple=True, separator="/"): leaf.shape
            for name, leaf in jax.tree_util.tree_leaves_with_path(tree)
        }
        for tree in (state, other)
    )
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise UsageError(
                f"{path} was written with another config: there {name} has the shape "
                f"{found.get(name)}, not {expected.get(name)}"
            )


def _check_claim(path: pathlib.Path) -> None:
    """Checks that arrays are not larger than the files that they are in can hold.

    Raises:
      UsageError: they are: zeros take no room there, but in memory.
    """
    with _readable(path), contextlib.closing(ocp.StandardCheckpointHandler()) as reader:
        arrays = jax.tree.leaves(reader.metadata(epath.Path(path / "state")).tree)
        claimed = sum(
            math.prod(array.shape) * np.dtype(array.dtype).itemsize for array in arrays
        )
        stored = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
        if claimed > _MOST_PER_BYTE * stored + _MOST_OF_NOTHING:
            raise ValueError(f"it claims {claimed:,} bytes and has {stored:,}")


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
    """Says in one line that a checkpoint cannot be read.

    Raises:
      UsageError: for whatever Orbax and its parts, some of them in C++, raise.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError:
        raise  # Devices without memory are no fault of the checkpoint.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise UsageError(
            f"{path} cannot be read ({reason}), although it is sealed: it is of "
            "another model or was changed by hand: bring one back from a copy, or use "
            "another --workdir"
        ) from error


def _newest_whole(folder: pathlib.Path) -> tuple[int | None, list[int]]:
    """Returns the newest checkpoint that is whole, and the damaged ones after it.

    Raises:
      UsageError: there are checkpoints, and all of them are damaged.
    """
    damaged = []
    for step in reversed(steps(folder)):
        wrong = flaw(folder / str(step))
        if wrong is None:
            return step, damaged
        damaged.append(step)
        _LOG.warning(
            "checkpoint %s is damaged: %s; the one before it is used",
            folder / str(step),
            wrong,
        )
    if damaged:
        raise UsageError(
            f"{folder}: every checkpoint is damaged (the last warning says how): bring "
            "one back from a copy, or use another --workdir"
        )
    return None, damaged


def _move_to(path: pathlib.Path, folder: pathlib.Path) -> None:
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    count = 1
    while target.exists():
        count += 1
        target = folder / f"{path.name}-{count}"
    path.rename(target)
