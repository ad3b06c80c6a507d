"""Scoring without training: a workdir's newest checkpoint, or imported weights."""

import contextlib
import pathlib
import time
from typing import Any

from ml_collections import ConfigDict

from efdet_jax import assemble
from efdet_jax.checkpoint import Restored, read_latest
from efdet_jax.data.labels import LabelMap, network_labels
from efdet_jax.errors import UsageError
from efdet_jax.journal import Journal
from efdet_jax.lease import held
from efdet_jax.run import first_result, initial_values, labels_of, open_run
from efdet_jax.tasks import TASKS
from efdet_jax.weights.opening import classes_of, open_weights


def score(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Scores the newest checkpoint of `workdir`, or else config.init_from.

    Needs no training data: a checkpoint knows its classes, and so do weights.

    Returns:
      What `result.json` holds.

    Raises:
      UsageError: there is neither, or they do not suit the config or the data.
    """
    with held(workdir), contextlib.closing(Journal(workdir)) as journal:
        return _score(config, workdir, journal)


def _score(
    config: ConfigDict, workdir: pathlib.Path, journal: Journal
) -> dict[str, Any]:
    latest = read_latest(workdir / "checkpoints")
    if latest is None and not config.init_from:
        raise UsageError(
            f"--workdir={workdir} has no checkpoint: train there first, or name "
            "weights with --config.init_from"
        )
    val_source = assemble.open_data(config, "val")
    labels = _labels(config, workdir, latest, val_source.labels)
    run = open_run(config, workdir, labels, val_source, journal)
    result = first_result(config, run.assembly)
    if latest is not None:
        variables = latest.state["ema"]
        result = latest.progress["result"] | {
            "step": latest.step,
            "seconds": latest.progress["seconds"],
        }
    else:
        variables = initial_values(config, run)
    task = TASKS[config.task]
    evaluator = task.make_evaluator(config, run.assembly, run.val_source, run.mesh)
    start = time.monotonic()
    evaluation = evaluator(variables)
    seconds = time.monotonic() - start
    result |= evaluation.metrics
    if latest is None:
        speed = len(val_source) / seconds
        result |= {"seconds": seconds, "images_per_second": speed, "status": "scored"}
    run.journal.pictures(result["step"], evaluation.pictures)
    if evaluation.detections:
        run.journal.detections(evaluation.detections())
    run.journal.result(result)
    run.close()
    return result


def _labels(
    config: ConfigDict,
    workdir: pathlib.Path,
    latest: Restored | None,
    data: LabelMap,
) -> LabelMap:
    """Returns the network's classes, as whoever trained it has said."""
    if latest is not None:
        return labels_of(latest.progress, workdir)
    if config.model.num_classes:
        return network_labels(data, config.model.num_classes)
    return classes_of(open_weights(config.init_from), config)
