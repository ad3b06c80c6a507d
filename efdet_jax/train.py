"""The training loop: steps, logs, evaluations and checkpoints until the end."""

import logging
import math
import pathlib
from collections.abc import Callable
from typing import Any

import jax
from ml_collections import ConfigDict

from efdet_jax import assemble
from efdet_jax import mesh as meshes
from efdet_jax.data.labels import network_labels
from efdet_jax.data.relabelled import relabelled
from efdet_jax.data.streams import Batches
from efdet_jax.errors import Diverged, Interrupted, NotSaved, OutOfMemory
from efdet_jax.guard import Guard, Taken
from efdet_jax.journal import Journal
from efdet_jax.lease import held
from efdet_jax.optim import describe_schedule
from efdet_jax.progress import Clock, Progress
from efdet_jax.replay import write_replay
from efdet_jax.run import Run, first_result, initial_values, open_run
from efdet_jax.stopping import StopRequest
from efdet_jax.structures import Evaluation, Tree
from efdet_jax.tasks import TASKS
from efdet_jax.train_step import TrainState
from efdet_jax.training import (
    Training,
    compile_step,
    make_training,
    schedule_settings,
)

_LOG = logging.getLogger(__name__)


def train(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Trains to `config.steps`, from the newest checkpoint in `workdir` if any.

    Returns:
      What `result.json` holds.

    Raises:
      Diverged: loss or gradient were not finite for too many steps in a row.
      Interrupted: a signal asked to stop; a checkpoint was written.
      NotSaved: a checkpoint could not be written.
      OutOfMemory: a step needs more than the devices have.
      UsageError: data, weights, devices or workdir do not suit the config, or another
        process is at work in the workdir.
    """
    with held(workdir):
        journal = Journal(workdir)
        try:
            return _train(config, workdir, journal)
        except NotSaved:
            journal.amend_result(status="not_saved")
            raise
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            journal.amend_result(status="out_of_memory")
            raise OutOfMemory(
                f"the devices have not the memory for config.batch_size="
                f"{config.batch_size} of {tuple(config.image_size)} pixels: lower "
                "--config.batch_size, or set --config.accumulate=2, "
                "--config.model.remat=blocks or --config.model.dtype=bfloat16; "
                "--mode=estimate says what fits"
            ) from error
        finally:
            journal.close()


def _train(
    config: ConfigDict, workdir: pathlib.Path, journal: Journal
) -> dict[str, Any]:
    task = TASKS[config.task]
    train_source = assemble.open_data(config, "train")
    labels = network_labels(train_source.labels, config.model.num_classes)
    val_source = assemble.open_data(config, "val")
    run = open_run(config, workdir, labels, val_source, journal)
    for name, source in (("train", train_source), ("val", run.val_source)):
        task.look(source, config, name=f"config.data.{name}={config.data[name]}")
    told, odd = describe_schedule(**schedule_settings(config))
    _LOG.info("%s", told)
    for each in odd:
        _LOG.warning("%s", each)
    lesson = task.lesson(config, run.assembly, relabelled(train_source, labels))
    training = make_training(
        config,
        run.assembly._replace(objective=lesson.objective),
        initial_values(config, run),
        run.mesh,
    )
    evaluator = task.make_evaluator(
        config, run.assembly, run.val_source, run.mesh, **lesson.measures
    )
    loop = _Loop(config, run, training, lesson.batches, evaluator)
    guard = Guard(
        most=config.max_skipped,
        skipped_before=int(loop.state.skipped),
        parts=config.accumulate,
        image_id=lambda i: train_source.annotations(i).image_id,
    )
    stop = StopRequest()
    try:
        return loop.go(guard, stop)
    finally:
        stop.close()
        lesson.batches.close()
        run.close()


class _Loop:
    """A run from its newest checkpoint to its end."""

    def __init__(
        self,
        config: ConfigDict,
        run: Run,
        training: Training,
        batches: Batches,
        evaluator: Callable[[Tree], Evaluation],
    ):
        self.state: TrainState = training.state
        self._config, self._run, self._training = config, run, training
        self._batches, self._evaluator = batches, evaluator
        self._figures = TASKS[config.task].figures
        self._result = first_result(config, run.assembly)
        seconds_before = 0.0
        if restored := run.checkpoints.restore_latest(self.state):
            self.state = restored.state
            batches.set_state(restored.progress["batches"])
            self._result = restored.progress["result"]
            seconds_before = restored.progress["seconds"]
            _LOG.info("resumed at step %d", restored.step)
        self._first = int(self.state.step) + 1
        is_over = self._first > config.steps
        self._result["status"] = "finished" if is_over else "running"
        run.journal.start(config, from_step=self._first - 1)
        run.journal.result(self._result)
        self._progress = Progress(config.steps)
        self._clock = Clock(seconds_before)
        self._seconds_before = self._saved_at = seconds_before

    def go(self, guard: Guard, stop: StopRequest) -> dict[str, Any]:
        """Trains to the last step; returns the result."""
        config, clock = self._config, self._clock
        taken = compiled = None
        for step in range(self._first, config.steps + 1):
            batch = clock.next_batch(self._batches)
            placed = meshes.place_batch(batch, self._run.mesh)
            # One step ahead of the device keeps it busy; more would only hold batches.
            self._look(guard, taken)
            if compiled is None:
                compiled = compile_step(self._training, placed)
                self._result |= compiled.cost
            self.state, metrics = compiled.step(self.state, placed)
            taken = Taken(step, batch, metrics)
            if step == self._first:
                jax.block_until_ready(metrics)
                self._progress.first_step(clock.seconds() - self._seconds_before)
                clock.restart()
            is_last = step == config.steps
            if step % config.log_every == 0 or is_last:
                self._log(taken)
            is_best = False
            if step % config.eval.every == 0 or is_last:
                self._look(guard, taken)
                is_best = self._evaluate(step)
            if stop.requested or is_best or is_last or self._is_due(step):
                self._look(guard, taken)
                self._save(step)
            if stop.requested and not is_last:
                self._run.journal.result(
                    self._result | {"step": step, "status": "interrupted"}
                )
                raise Interrupted(
                    f"stopped at step {step}; the same command goes on from there"
                )
        return self._result

    def _look(self, guard: Guard, taken: Taken | None) -> None:
        try:
            if taken:
                guard.look(taken)
        except Diverged:
            assert taken
            self._run.journal.result(
                self._result | {"step": taken.step, "status": "diverged"}
            )
            # Of the last of these steps, which changed nothing but the counters.
            before = self.state._replace(step=self.state.step - 1)
            placed = meshes.place_batch(taken.batch, self._run.mesh)
            write_replay(self._run.journal.workdir, before, placed)
            raise

    def _log(self, taken: Taken) -> None:
        logged = {name: float(v) for name, v in jax.device_get(taken.metrics).items()}
        logged |= self._clock.report(self._config.batch_size)
        self._run.journal.scalars(taken.step, logged)
        speed = logged["images_per_second"]
        self._progress.show(taken.step, logged["loss"], speed)
        self._result["images_per_second"] = speed
        self._clock.restart()

    def _evaluate(self, step: int) -> bool:
        """Scores the averages; says whether they are the best so far."""
        journal, is_last = self._run.journal, step == self._config.steps
        evaluation = self._evaluator(self.state.ema)
        journal.scalars(step, evaluation.metrics)
        journal.pictures(step, evaluation.pictures)
        if is_last and evaluation.detections:
            journal.detections(evaluation.detections())
        seconds = self._clock.seconds()
        self._result |= evaluation.metrics | {
            "step": step,
            "seconds": seconds,
            "device_hours": seconds * jax.device_count() / 3600,
            "status": "finished" if is_last else "running",
        }
        name = self._figures[0]
        is_best = evaluation.metrics[name] > self._result.get(f"best_{name}", -math.inf)
        if is_best:
            best = {f"best_{name}": evaluation.metrics[name], "best_step": step}
            self._result |= best
        journal.result(self._result)
        shown = {name: evaluation.metrics[name] for name in self._figures[:2]}
        self._progress.evaluated(step, shown)
        self._clock.restart()
        return is_best

    def _is_due(self, step: int) -> bool:
        every = self._config.checkpoint
        seconds = self._clock.seconds() - self._saved_at
        return step % every.every == 0 or 0 < 60 * every.minutes <= seconds

    def _save(self, step: int) -> None:
        self._saved_at = self._clock.seconds()
        progress = {
            "batches": self._batches.get_state(),
            "result": self._result,
            "seconds": self._saved_at,
            "labels": self._run.labels.to_json(),
        }
        best = self._result.get("best_step")
        self._run.checkpoints.save(step, self.state, progress, best=best)
