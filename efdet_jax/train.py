"""The training loop: steps, logs, evaluations and checkpoints until the end."""

import functools
import logging
import math
import pathlib
import signal
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from efdet_jax import assemble
from efdet_jax import mesh as meshes
from efdet_jax.data.labels import network_labels
from efdet_jax.data.relabelled import relabelled
from efdet_jax.errors import Diverged, Interrupted, OutOfMemory
from efdet_jax.journal import Journal
from efdet_jax.optim import learning_rate_schedule, make_optimizer
from efdet_jax.progress import Clock, Progress
from efdet_jax.run import first_result, initial_values, open_run
from efdet_jax.structures import Batch, LabelledBatch, Tree
from efdet_jax.tasks import TASKS
from efdet_jax.train_step import TrainState, initial_state, train_step

_LOG = logging.getLogger(__name__)

SCHEDULE_KEYS = (
    "schedule",
    "learning_rate",
    "reference_batch",
    "warmup_steps",
    "warmup_start",
)
"""Keys of config.optimizer that say how the rate goes; the others, what it scales."""


class Training(NamedTuple):
    """The compiled step of a config, and the state that it starts from."""

    step: jax.stages.Wrapped
    """(state, batch) → (state, metrics), as `train_step`; gives the old state away."""
    state: TrainState


def make_training(
    config: ConfigDict,
    assembly: assemble.Assembly,
    variables: Mapping[str, Tree],
    mesh: Mesh,
) -> Training:
    """Returns the step of a config, and its state before it, laid out on a mesh.

    Args:
      config: of the run.
      assembly: its network.
      variables: the first ones.
      mesh: the devices.
    """
    optimizer_config = config.optimizer.to_dict()
    schedule = learning_rate_schedule(
        batch_size=config.batch_size,
        steps=config.steps,
        **{name: optimizer_config.pop(name) for name in SCHEDULE_KEYS},
    )
    frozen = ("backbone",) if config.model.frozen.backbone else ()
    optimizer = make_optimizer(schedule, frozen=frozen, **optimizer_config)
    everywhere = meshes.everywhere(mesh)
    state = jax.jit(
        functools.partial(initial_state, optimizer=optimizer), out_shardings=everywhere
    )(variables)
    step = functools.partial(
        train_step,
        model=assembly.model,
        objective=assembly.objective,
        normalisation=config.normalise.to_dict(),
        optimizer=optimizer,
        schedule=schedule,
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


class CompiledStep(NamedTuple):
    """A step for batches of one shape, and what it cost to make and costs to run."""

    step: jax.stages.Compiled
    """As `Training.step`."""
    cost: dict[str, float]
    """`compile_seconds`; `xla_flops` of a step by XLA's own count, or not a number."""


def compile_step(training: Training, batch: Batch | LabelledBatch) -> CompiledStep:
    """Returns the step of a training, compiled for a batch laid out on its mesh."""
    start = time.monotonic()
    compiled = training.step.lower(training.state, batch).compile()
    cost = {
        "compile_seconds": time.monotonic() - start,
        "xla_flops": (compiled.cost_analysis() or {}).get("flops", math.nan),
    }
    return CompiledStep(compiled, cost)


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


def train(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Trains to `config.steps`, from the newest checkpoint in `workdir` if any.

    Returns:
      What `result.json` holds.

    Raises:
      Diverged: a loss was not finite.
      Interrupted: a signal asked to stop; a checkpoint was written.
      OutOfMemory: a step needs more than the devices have.
      UsageError: data, weights, devices or workdir do not suit the config.
    """
    try:
        return _train(config, workdir)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        Journal(workdir).amend_result(status="out_of_memory")
        raise OutOfMemory(
            f"the devices have not the memory for config.batch_size="
            f"{config.batch_size} of {tuple(config.image_size)} pixels: lower "
            "--config.batch_size, or set --config.model.dtype=bfloat16"
        ) from error


def _train(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    task = TASKS[config.task]
    train_source = assemble.open_data(config, "train")
    labels = network_labels(train_source.labels, config.model.num_classes)
    run = open_run(config, workdir, labels, assemble.open_data(config, "val"))
    journal = run.journal
    for name, source in (("train", train_source), ("val", run.val_source)):
        task.look(source, config, name=f"config.data.{name}={config.data[name]}")
    lesson = task.lesson(config, run.assembly, relabelled(train_source, labels))
    training = make_training(
        config,
        run.assembly._replace(objective=lesson.objective),
        initial_values(config, run),
        run.mesh,
    )
    state = training.state
    batches = lesson.batches
    result = first_result(config, run.assembly)
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
    journal.result(result)
    evaluator = task.make_evaluator(
        config, run.assembly, run.val_source, run.mesh, **lesson.measures
    )
    progress, clock, stop = Progress(config.steps), Clock(seconds_before), StopRequest()
    compiled, metrics = None, None
    for step in range(first_step, config.steps + 1):
        batch = meshes.place_batch(clock.next_batch(batches), run.mesh)
        # One step ahead of the device keeps it busy; more would only hold batches.
        jax.block_until_ready(metrics)
        if compiled is None:
            compiled = compile_step(training, batch)
            result |= compiled.cost
        state, metrics = compiled.step(state, batch)
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
                    run.close()
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
            seconds = clock.seconds()
            hours = seconds * jax.device_count() / 3600
            result |= {"step": step, "seconds": seconds, "device_hours": hours}
            if is_last and evaluation.detections:
                journal.detections(evaluation.detections())
            result["status"] = "finished" if is_last else "running"
            journal.result(result)
            shown = {name: evaluation.metrics[name] for name in task.figures[:2]}
            progress.evaluated(step, shown)
            clock.restart()
        if is_saving:
            extra = {
                "batches": batches.get_state(),
                "result": result,
                "seconds": clock.seconds(),
                "labels": run.labels.to_json(),
            }
            run.checkpoints.save(step, state, extra)
        if is_saving and stop.requested and not is_last:
            journal.result(result | {"step": step, "status": "interrupted"})
            break
    batches.close()
    run.close()
    stop.close()
    if result["status"] != "finished":
        raise Interrupted(
            f"stopped at step {step}; the same command goes on from there"
        )
    return result
