"""The training loop: steps, logs, evaluations and checkpoints until the end."""

import functools
import logging
import math
import pathlib
import signal
from types import FrameType
from typing import Any, NamedTuple

import grain
import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from efdet_jax import assemble
from efdet_jax import mesh as meshes
from efdet_jax.checkpoint import Checkpoints
from efdet_jax.config import check_devices
from efdet_jax.data.datasets import check_same_labels
from efdet_jax.data.pipeline import train_batches
from efdet_jax.data.source import Source
from efdet_jax.errors import Diverged, Interrupted, UsageError
from efdet_jax.evaluate import make_evaluator
from efdet_jax.journal import Journal
from efdet_jax.models.initial import initial_variables
from efdet_jax.optim import learning_rate_schedule, make_optimizer
from efdet_jax.progress import Clock, Progress
from efdet_jax.train_step import TrainState, initial_state, train_step

_LOG = logging.getLogger(__name__)

SCHEDULE_KEYS = ("learning_rate", "reference_batch", "warmup_steps", "warmup_start")
"""Keys of config.optimizer that say how the rate goes; the others, what it scales."""


class Training(NamedTuple):
    """The compiled step of a config, and the state that it starts from."""

    step: jax.stages.Wrapped
    """(state, batch) → (state, metrics), as `train_step`; gives the old state away."""
    state: TrainState


def make_training(
    config: ConfigDict, assembly: assemble.Assembly, mesh: Mesh
) -> Training:
    """Returns the step and initial state of a config, laid out on a mesh."""
    optimizer_config = config.optimizer.to_dict()
    schedule = learning_rate_schedule(
        batch_size=config.batch_size,
        steps=config.steps,
        **{name: optimizer_config.pop(name) for name in SCHEDULE_KEYS},
    )
    optimizer = make_optimizer(schedule, **optimizer_config)
    variables = initial_variables(
        assembly.variables,
        seed=config.seed,
        foreground_prior=config.foreground_prior,
    )
    everywhere = meshes.everywhere(mesh)
    state = jax.jit(
        functools.partial(initial_state, optimizer=optimizer), out_shardings=everywhere
    )(variables)
    step = functools.partial(
        train_step,
        model=assembly.model,
        anchors=assembly.anchors,
        optimizer=optimizer,
        schedule=schedule,
        match_iou=config.assign.match_iou,
        loss=config.loss.to_dict(),
        l2_weight=config.l2_loss,
        ema_decay=config.ema_decay,
        seed=config.seed,
    )
    compiled = jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(everywhere, meshes.split(mesh)),
        out_shardings=everywhere,
    )
    return Training(compiled, state)


class StopRequest:
    """Remembers that SIGINT or SIGTERM asked for a stop at the next step's end."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {
            number: signal.signal(number, self._request)
            for number in (signal.SIGINT, signal.SIGTERM)
        }

    def _request(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.requested = True
        # A second signal has its usual effect, at once.
        signal.signal(number, self._before[number])

    def close(self) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _batches(config: ConfigDict, source: Source) -> grain.DatasetIterator:
    hosts = jax.process_count()
    return train_batches(
        source,
        image_size=tuple(config.image_size),
        batch_size=config.batch_size // hosts,
        max_boxes=config.data.max_boxes,
        flip=config.data.flip,
        jitter=tuple(config.data.jitter),
        seed=config.seed,
        num_threads=config.data.num_threads,
        shard=(jax.process_index(), hosts),
    )


class Run(NamedTuple):
    """What training and evaluating a workdir both need."""

    train_source: Source
    val_source: Source
    assembly: assemble.Assembly
    mesh: Mesh
    training: Training
    journal: Journal
    checkpoints: Checkpoints


def open_run(config: ConfigDict, workdir: pathlib.Path) -> Run:
    """Checks a config against the data, the devices and the workdir, and builds it.

    Raises:
      UsageError: the data cannot be read, the batch does not suit the devices, or the
        workdir holds a run of another model.
    """
    check_devices(config, jax.device_count())
    train_source = assemble.open_data(config, "train")
    val_source = assemble.open_data(config, "val")
    check_same_labels(train_source.labels, val_source.labels)
    journal = Journal(workdir)
    journal.check_resumable(config)
    assembly = assemble.detector(config, train_source.labels.num_classes)
    mesh = meshes.data_mesh()
    return Run(
        train_source,
        val_source,
        assembly,
        mesh,
        make_training(config, assembly, mesh),
        journal,
        Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep),
    )


def evaluate_only(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Scores the newest checkpoint of `workdir`; returns what `result.json` holds.

    Raises:
      UsageError: there is no checkpoint.
    """
    run = open_run(config, workdir)
    restored = run.checkpoints.restore_latest(run.training.state)
    if restored is None:
        raise UsageError(f"--workdir={workdir} has no checkpoint: train there first")
    evaluator = make_evaluator(config, run.assembly, run.val_source, run.mesh)
    evaluation = evaluator(restored.state.ema)
    now = {"step": restored.step, "seconds": restored.progress["seconds"]}
    result = restored.progress["result"] | evaluation.metrics | now
    run.journal.pictures(restored.step, evaluation.pictures)
    run.journal.result(result)
    run.journal.close()
    return result


def train(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Trains to `config.steps`, from the newest checkpoint in `workdir` if any.

    Returns:
      What `result.json` holds.

    Raises:
      Diverged: a loss was not finite.
      Interrupted: a signal asked to stop; a checkpoint was written.
      UsageError: see `open_run`.
    """
    run = open_run(config, workdir)
    state, journal = run.training.state, run.journal
    batches = _batches(config, run.train_source)
    result: dict[str, Any] = {
        "step": 0,
        "params": run.assembly.params,
        "multiply_adds": run.assembly.multiply_adds,
        "images_per_second": math.nan,  # until the first report
    }
    seconds_before = 0.0
    if restored := run.checkpoints.restore_latest(state):
        state = restored.state
        batches.set_state(restored.progress["batches"])
        result = restored.progress["result"]
        seconds_before = restored.progress["seconds"]
        _LOG.info("resumed at step %d of %s", restored.step, workdir)
    first_step = int(state.step) + 1
    result["status"] = "running" if first_step <= config.steps else "finished"
    journal.start(config, from_step=first_step - 1)
    evaluator = make_evaluator(config, run.assembly, run.val_source, run.mesh)
    progress, clock, stop = Progress(config.steps), Clock(seconds_before), StopRequest()
    metrics = None
    for step in range(first_step, config.steps + 1):
        batch = meshes.place_batch(clock.next_batch(batches), run.mesh)
        # One step ahead of the device keeps it busy; more would only hold batches.
        jax.block_until_ready(metrics)
        state, metrics = run.training.step(state, batch)
        if step == first_step:
            jax.block_until_ready(metrics)
            progress.first_step(clock.seconds() - seconds_before)
            clock.restart()
        is_last = step == config.steps
        is_saving = stop.requested or step % config.checkpoint.every == 0 or is_last
        is_logging = step % config.log_every == 0 or is_last
        if is_saving or is_logging:
            logged = {name: float(v) for name, v in jax.device_get(metrics).items()}
            if is_logging:
                logged |= clock.report(config.batch_size)
                journal.scalars(step, logged)
            # Before it is saved: no checkpoint may hold what is not a number.
            for name in ("loss", "gradient_norm"):
                if not math.isfinite(logged[name]):
                    journal.result(result | {"step": step, "status": "diverged"})
                    raise Diverged(
                        f"the {name} became {logged[name]} by step {step}: lower "
                        "--config.optimizer.learning_rate and start in a new --workdir"
                    )
            if is_logging:
                progress.show(step, logged["loss"], logged["images_per_second"])
                result["images_per_second"] = logged["images_per_second"]
                clock.restart()
        if step % config.eval.every == 0 or is_last:
            evaluation = evaluator(state.ema)
            journal.scalars(step, evaluation.metrics)
            journal.pictures(step, evaluation.pictures)
            result |= evaluation.metrics
            result |= {"step": step, "seconds": clock.seconds()}
            result["status"] = "finished" if is_last else "running"
            journal.result(result)
            progress.evaluated(step, evaluation.metrics)
            clock.restart()
        if is_saving:
            extra = {"batches": batches.get_state(), "result": result}
            run.checkpoints.save(step, state, extra | {"seconds": clock.seconds()})
        if is_saving and stop.requested and not is_last:
            journal.result(result | {"step": step, "status": "interrupted"})
            break
    run.checkpoints.close()
    journal.close()
    stop.close()
    if result["status"] != "finished":
        raise Interrupted(
            f"stopped at step {step}; the same command goes on from there"
        )
    return result
