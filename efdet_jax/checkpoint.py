"""Saving and restoring a run; the one module that knows Orbax."""

import pathlib
from typing import NamedTuple

import jax
import orbax.checkpoint as ocp

from efdet_jax.structures import Tree


class Restored(NamedTuple):
    """What a checkpoint held: the state, and what `save` was given beside it."""

    step: int
    state: Tree
    progress: dict


class Checkpoints:
    """The checkpoints of one run, newest last, written in the background."""

    def __init__(self, folder: pathlib.Path, *, keep: int):
        policy = ocp.checkpoint_managers.preservation_policy.LatestN(keep)
        self._manager = ocp.CheckpointManager(
            folder.resolve(),
            options=ocp.CheckpointManagerOptions(preservation_policy=policy),
            item_names=("state", "progress"),
        )

    def save(self, step: int, state: Tree, progress: dict) -> None:
        """Starts to write a checkpoint; returns once the arrays are copied.

        Args:
          step: its number.
          state: a pytree of arrays.
          progress: whatever else the run needs to go on, as JSON holds it.
        """
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                progress=ocp.args.JsonSave(progress),
            ),
            force=True,
        )

    def restore_latest(self, state: Tree) -> Restored | None:
        """Returns the newest checkpoint, laid out on devices like `state`, or None."""
        step = self._manager.latest_step()
        if step is None:
            return None
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract),
                progress=ocp.args.JsonRestore(),
            ),
        )
        return Restored(step, restored["state"], restored["progress"])

    def latest_progress(self) -> dict | None:
        """Returns what the newest checkpoint holds beside the state, None if none."""
        step = self._manager.latest_step()
        if step is None:
            return None
        items = ocp.args.Composite(progress=ocp.args.JsonRestore())
        return self._manager.restore(step, args=items)["progress"]

    def close(self) -> None:
        """Waits until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def read_latest(folder: pathlib.Path) -> Restored | None:
    """Returns the newest checkpoint as NumPy arrays, whatever its model; or None.

    The fields of `state` are those that were saved, by name.
    """
    with ocp.CheckpointManager(
        folder.resolve(), item_names=("state", "progress")
    ) as manager:
        step = manager.latest_step()
        if step is None:
            return None
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(), progress=ocp.args.JsonRestore()
        )
        restored = manager.restore(step, args=items)
    return Restored(step, restored["state"], restored["progress"])
