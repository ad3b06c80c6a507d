"""The training loop: steps, logs, evaluations and checkpoints until the end."""

import logging
import math
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from efdet_jax import assemble, hosts
from efdet_jax import mesh as meshes
from efdet_jax.data.labels import network_labels
from efdet_jax.data.relabelled import relabelled
from efdet_jax.data.streams import Batches
from efdet_jax.errors import (
    Diverged,
    InputStopped,
    Interrupted,
    NotEvaluated,
    NotSaved,
    OutOfMemory,
)
from efdet_jax.flat import flat_like, trees
from efdet_jax.guard import Guard, Taken
from efdet_jax.journal import Journal
from efdet_jax.optim import describe_schedule
from efdet_jax.progress import Clock, Progress
from efdet_jax.replay import write_replay
from efdet_jax.run import (
    Run,
    first_result,
    initial_values,
    journal_of,
    open_run,
)
from efdet_jax.stopping import StopRequest
from efdet_jax.structures import Batch, Evaluation, LabelledBatch, Tree
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
      InputStopped: no more images came; a checkpoint was written.
      Interrupted: a signal, or JAX's preemption service, asked to stop; a checkpoint
        was written.
      NotEvaluated: the last evaluation failed; a checkpoint was written.
      NotSaved: a checkpoint could not be written.
      OutOfMemory: a step needs more than the devices have.
      UsageError: data, weights, devices or workdir do not suit the config, or another
        process is at work in the workdir.
    """
    with journal_of(workdir) as journal:
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
    except jax.errors.JaxRuntimeError as error:
        hosts.end_if_lost(error)
        raise
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
        self._result = first_result(config, run.assembly) | {"failed_evaluations": 0}
        self._owes_evaluation = False
        self._saved_step = 0
        seconds_before = 0.0
        # Checkpoints hold trees: how a step lays them out is no matter of theirs.
        like = trees(self.state) if run.is_begun else None
        if restored := run.checkpoints.restore_latest(like):
            state = flat_like(self.state, restored.state)
            self.state = meshes.place_everywhere(state, run.mesh)
            batches.set_state(restored.progress["batches"])
            self._result |= restored.progress["result"]
            seconds_before = restored.progress["seconds"]
            self._owes_evaluation = restored.progress.get("owes_evaluation", False)
            self._saved_step = restored.step
            _LOG.info("resumed at step %d", restored.step)
        self._first = int(self.state.step) + 1
        is_over = self._first > config.steps and not self._owes_evaluation
        self._result["status"] = "finished" if is_over else "running"
        run.journal.start(
            config,
            from_step=self._first - 1,
            evaluates_again=self._owes_evaluation,
        )
        run.journal.result(self._result)
        self._progress = Progress(config.steps, shows=hosts.is_first())
        self._clock = Clock(seconds_before)
        self._seconds_before = self._saved_at = seconds_before

    def go(self, guard: Guard, stop: StopRequest) -> dict[str, Any]:
        """Trains to the last step; returns the result."""
        config, clock = self._config, self._clock
        taken = compiled = None
        if self._owes_evaluation:
            self._evaluate(self._first - 1)
        for step in range(self._first, config.steps + 1):
            asked = meshes.any_process(
                (stop.requested, self._is_late()), self._run.mesh
            )
            batch = self._next_batch(step, guard, taken)
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
            stops, is_late = np.asarray(asked)
            stops = stops or hosts.is_preempted(step)
            is_best = False
            if step % config.eval.every == 0 or is_last:
                self._look(guard, taken)
                is_best = self._evaluate(step)
            is_due = is_late or step % config.checkpoint.every == 0
            if is_best or is_last or is_due:
                self._look(guard, taken)
                self._save(step)
            if stops and not is_last:
                self._look(guard, taken)
                self._pause(step, "interrupted")
                raise Interrupted(
                    f"stopped at step {step}; the same command goes on from there"
                )
        if self._owes_evaluation:
            raise NotEvaluated(
                f"the evaluation of step {config.steps}, the last, failed (the log has "
                "its traceback): mend it, and the same command evaluates again"
            )
        return self._result

    def _next_batch(
        self, step: int, guard: Guard, taken: Taken | None
    ) -> Batch | LabelledBatch:
        try:
            return self._clock.next_batch(self._batches)
        except InputStopped:
            self._look(guard, taken)
            self._pause_without_input(step - 1)
            raise

    def _pause(self, step: int, status: str) -> None:
        """Leaves a run as it is after a step, for the same command to go on."""
        if step > self._saved_step:
            self._save(step)
        self._run.journal.result(self._result | {"step": step, "status": status})

    def _pause_without_input(self, step: int) -> None:
        # Several hosts can only write a checkpoint together, and the others wait.
        if jax.process_count() == 1:
            self._pause(step, "input_stopped")

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
        """Scores the averages; says whether they are the best so far.

        What fails in it costs training nothing. The last one is owed then: the same
        command begins with it.
        """
        journal, is_last = self._run.journal, step == self._config.steps
        self._owes_evaluation = is_last
        try:
            evaluation = self._evaluator(trees(self.state.ema))
            found = evaluation.detections
            detections = found() if is_last and found else None
        except InputStopped:
            self._owes_evaluation = True
            self._pause_without_input(step)
            raise
        except Exception:
            if jax.process_count() > 1:
                # The others may be in the midst of it, and cannot go on without us.
                raise
            self._count_failure(step)
            return False
        self._owes_evaluation = False
        journal.scalars(step, evaluation.metrics)
        journal.pictures(step, evaluation.pictures)
        if detections is not None:
            journal.detections(detections)
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

    def _count_failure(self, step: int) -> None:
        """Tells of the evaluation whose exception is being handled."""
        failed = self._result["failed_evaluations"] + 1
        _LOG.exception("the evaluation of step %d failed, %d so far", step, failed)
        self._result["failed_evaluations"] = failed
        if self._owes_evaluation:
            self._result |= {"step": step, "status": "not_evaluated"}
        self._run.journal.result(self._result)
        self._clock.restart()

    def _is_late(self) -> bool:
        """Says whether the last checkpoint is as old as the next one may find it."""
        seconds = self._clock.seconds() - self._saved_at
        return 0 < 60 * self._config.checkpoint.minutes <= seconds

    def _save(self, step: int) -> None:
        self._saved_at, self._saved_step = self._clock.seconds(), step
        progress = {
            "owes_evaluation": self._owes_evaluation,
            "batches": self._batches.get_state(),
            "result": self._result,
            "seconds": self._saved_at,
            "labels": self._run.labels.to_json(),
        }
        best = self._result.get("best_step")
        state = trees(self.state)
        self._run.checkpoints.save(step, state, progress, best=best)
