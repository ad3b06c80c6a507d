"""A training step that went wrong, kept, and run again to see where."""

import contextlib
import inspect
import logging
import math
import pathlib
import shutil
import sys
import traceback

import jax
import numpy as np
from ml_collections import ConfigDict

from efdet_jax import assemble, hosts
from efdet_jax import mesh as meshes
from efdet_jax.checkpoint import read_tree, write_tree
from efdet_jax.data.labels import network_labels
from efdet_jax.data.relabelled import relabelled
from efdet_jax.errors import UsageError
from efdet_jax.flat import flat_like, trees
from efdet_jax.structures import Batch, LabelledBatch
from efdet_jax.tasks import TASKS
from efdet_jax.train_step import TrainState
from efdet_jax.training import make_training

_LOG = logging.getLogger(__name__)

_PACKAGE = pathlib.Path(__file__).parent


def write_replay(
    workdir: pathlib.Path, state: TrainState, batch: Batch | LabelledBatch
) -> None:
    """Keeps a step of a run; an older one gives way.

    Args:
      workdir: of the run.
      state: before the step.
      batch: on the devices.
    """
    hosts.first_does(lambda: shutil.rmtree(_folder(workdir), ignore_errors=True))
    write_tree(_folder(workdir), {"state": trees(state), "batch": batch})


def replay(config: ConfigDict, workdir: pathlib.Path) -> str:
    """Runs the step that a diverged run has kept, and looks for its first NaN or inf.

    Returns:
      What was not finite, and the first operation that made it so, in lines.

    Raises:
      UsageError: the workdir has none, or the config is of another model.
    """
    if not _folder(workdir).is_dir():
        raise UsageError(
            f"--workdir={workdir} has no step to replay: a run that diverges keeps its "
            "last one"
        )
    source = assemble.open_data(config, "train")
    labels = network_labels(source.labels, config.model.num_classes)
    task, mesh = TASKS[config.task], meshes.make_mesh(config.mesh.spatial)
    assembly = task.assemble(config, labels.num_classes)
    lesson = task.lesson(config, assembly, relabelled(source, labels))
    training = make_training(
        config,
        assembly._replace(objective=lesson.objective),
        jax.tree.map(lambda one: np.zeros(one.shape, one.dtype), assembly.variables),
        mesh,
    )
    blank = meshes.place_batch(task.blank_batch(config), mesh)
    like = {"state": trees(training.state), "batch": blank}
    kept = read_tree(_folder(workdir), like)
    state = meshes.place_everywhere(flat_like(training.state, kept["state"]), mesh)
    # Gives nothing away, so that it can be run more than once.
    step = jax.jit(inspect.unwrap(training.step))
    _, metrics = jax.device_get(step(state, kept["batch"]))
    images = [source.annotations(int(i)).image_id for i in kept["batch"].image_index]
    lines = [
        f"step {int(state.step) + 1}, images {', '.join(map(str, images))}",
        *(f"{name:<20} {float(value):.6g}" for name, value in metrics.items()),
    ]
    if all(math.isfinite(value) for value in metrics.values()):
        return "\n".join([*lines, "everything is finite this time"])
    _LOG.info("looking for the first operation, one by one: minutes")
    for what, looking in (("nan", jax.debug_nans), ("inf", jax.debug_infs)):
        try:
            # What JAX prints while it looks is not the answer.
            with (
                looking(True),
                # Also inside of the loop over the parts of a batch.
                jax.disable_jit(),
                contextlib.redirect_stdout(sys.stderr),
            ):
                jax.block_until_ready(step(state, kept["batch"]))
        except FloatingPointError as error:
            return "\n".join([*lines, f"first {what}: {_first_line(error)}"])
    return "\n".join(lines)


def _folder(workdir: pathlib.Path) -> pathlib.Path:
    return (workdir / "replay").absolute()


def _first_line(error: FloatingPointError) -> str:
    """Returns what an error says, and the innermost line of ours that it came from."""
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if pathlib.Path(frame.filename).is_relative_to(_PACKAGE)
        and frame.filename != __file__
    ]
    said = str(error).splitlines()[0]
    if not ours:
        return said
    where = pathlib.Path(ours[-1].filename).relative_to(_PACKAGE.parent)
    return f"{said}, {where}:{ours[-1].lineno}: {ours[-1].line}"
