"""Opening a workdir: what training there and scoring it both need."""

import contextlib
import hashlib
import logging
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from efdet_jax import assemble, hosts
from efdet_jax import mesh as meshes
from efdet_jax.checkpoint import Checkpoints
from efdet_jax.data.labels import LabelMap
from efdet_jax.data.relabelled import relabelled
from efdet_jax.data.source import Source
from efdet_jax.errors import UsageError
from efdet_jax.journal import Journal, versions
from efdet_jax.lease import held
from efdet_jax.models.initial import initial_variables
from efdet_jax.structures import Tree
from efdet_jax.tasks import TASKS
from efdet_jax.validation import check_devices
from efdet_jax.weights.filling import fill
from efdet_jax.weights.opening import open_weights

_LOG = logging.getLogger(__name__)


class Run(NamedTuple):
    """A workdir with the objects that its config asks for."""

    labels: LabelMap
    """The network's classes."""
    val_source: Source
    assembly: assemble.Assembly
    mesh: Mesh
    journal: Journal
    checkpoints: Checkpoints
    is_begun: bool
    """Whether there is a checkpoint to go on from."""

    def close(self) -> None:
        """Waits until the checkpoints are on disk.

        Raises:
          NotSaved: the last one could not be written.
        """
        self.checkpoints.close()


@contextlib.contextmanager
def journal_of(workdir: pathlib.Path) -> Iterator[Journal]:
    """Opens the journal of a workdir, which nobody else works in meanwhile.

    The first process holds the lease for all.

    Raises:
      UsageError: somebody else does.
    """
    with contextlib.ExitStack() as stack:
        hosts.first_does(lambda: stack.enter_context(held(workdir)))
        yield Journal(workdir, writes=hosts.is_first())


def open_run(
    config: ConfigDict,
    workdir: pathlib.Path,
    labels: LabelMap,
    val_source: Source,
    journal: Journal,
) -> Run:
    """Checks a config against data, devices and workdir, and builds it.

    Args:
      config: of the run.
      workdir: its folder.
      labels: the network's classes.
      val_source: the images to be scored on, with the data set's own labels.
      journal: of the workdir.

    Raises:
      UsageError: the batch does not suit the devices, the validation data has a class
        that the network has not, or the workdir holds a run of another model or of
        other classes.
    """
    check_devices(config, jax.device_count(), jax.local_device_count())
    for key, before, now in journal.check_resumable(config):
        _LOG.info("config.%s is %s now, not %s as before", key, now, before)
    checkpoints = Checkpoints(
        workdir / "checkpoints",
        keep=config.checkpoint.keep,
        if_it_fails=config.checkpoint.if_it_fails,
    )
    progress = checkpoints.latest_progress()
    before = labels_of(progress, workdir) if progress else labels
    if before != labels:
        changed = next(
            (
                pair
                for pair in zip(before.names, labels.names, strict=False)
                if len(set(pair)) > 1
            ),
            (f"{before.num_classes} classes", f"{labels.num_classes} classes"),
        )
        raise UsageError(
            f"--workdir={workdir} was trained for other classes ({changed[0]}, now "
            f"{changed[1]}): use another --workdir"
        )
    return Run(
        labels,
        relabelled(val_source, labels),
        TASKS[config.task].assemble(config, labels.num_classes),
        meshes.make_mesh(config.mesh.spatial),
        journal,
        checkpoints,
        progress is not None,
    )


def labels_of(progress: Mapping[str, Any], workdir: pathlib.Path) -> LabelMap:
    """Returns the classes in what a checkpoint holds beside the state.

    Raises:
      UsageError: it is not what training writes there.
    """
    match progress:
        case {
            "labels": labels,
            "batches": {"next": int(next_)},
            "result": dict(),
            "seconds": int() | float(),
        } if next_ >= 0:
            return LabelMap.from_json(labels, where=workdir)
    raise UsageError(
        f"--workdir={workdir} has a checkpoint that no training has written: bring one "
        "back from a copy, or use another --workdir"
    )


def initial_values(config: ConfigDict, run: Run) -> dict[str, Tree]:
    """Returns the variables before the first step: from config.init_from, or drawn.

    Raises:
      UsageError: see `weights.importing`.
    """
    # What a checkpoint replaces needs no file, which may be gone by then.
    if run.is_begun or not config.init_from:
        return initial_variables(
            run.assembly.variables,
            seed=config.seed,
            foreground_prior=config.get("foreground_prior"),
        )
    weights = open_weights(config.init_from)
    variables, report = fill(weights, run.assembly.variables, run.labels, config)
    _LOG.info("%s", report.table())
    return variables


def first_result(config: ConfigDict, assembly: assemble.Assembly) -> dict[str, Any]:
    """Returns what `result.json` holds before anything has been measured."""
    text = config.to_json(sort_keys=True)
    return {
        "step": 0,
        "params": assembly.params,
        "multiply_adds": assembly.multiply_adds,
        "images_per_second": math.nan,  # until the first report
        "seed": config.seed,
        "config_hash": hashlib.sha256(text.encode()).hexdigest()[:16],
        "device_kind": jax.devices()[0].device_kind,
        "device_count": jax.device_count(),
        "versions": versions(),
    }
