"""What trials will cost, before any of them is started."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax

from efdet_jax import mesh as meshes
from efdet_jax.assemble import num_classes
from efdet_jax.footprint import footprint
from efdet_jax.models.initial import initial_variables
from efdet_jax.progress import duration
from efdet_jax.sweep.loading import trial_config
from efdet_jax.sweep.trials import Trial
from efdet_jax.tasks import TASKS
from efdet_jax.training import compile_step, make_training

_TIMED_STEPS = 3


class Cost(NamedTuple):
    """Of one trial on this machine's devices."""

    params: int
    multiply_adds: int
    """Of one image, forward."""
    memory_gb: float
    """That a training step takes on each device, by XLA's count."""
    steps: int
    seconds_of_step: float


def describe(trials: Sequence[Trial]) -> Iterator[str]:
    """Yields the lines of a table of what every trial costs here; trains nothing.

    Times are those of compiled steps on blank images, seen to run here; reading images
    and evaluating are not in them.
    """
    width = max(len(trial.name) for trial in trials)
    cells = f"{{:<{width}}}  {{:>12}}  {{:>13}}  {{:>9}}  {{:>7}}  {{:>12}}"
    yield cells.format(
        "trial", "params", "multiply-adds", "memory GB", "s/step", "time"
    )
    total = 0.0
    for trial in trials:
        cost = measure(trial)
        seconds = cost.steps * cost.seconds_of_step
        total += seconds
        yield cells.format(
            trial.name,
            f"{cost.params:,}",
            f"{cost.multiply_adds / 1e9:.3f} G",
            f"{cost.memory_gb:.2f}",
            f"{cost.seconds_of_step:.3f}",
            duration(seconds),
        )
    devices = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    yield (
        f"{len(trials)} trials on {devices}: {duration(total)} one after the other, "
        "without compilation, input and evaluation"
    )


def measure(trial: Trial) -> Cost:
    """Compiles a trial's training step, looks at it, and runs it on blank images."""
    config = trial_config(trial)
    task = TASKS[config.task]
    mesh = meshes.data_mesh()
    assembly = task.assemble(config, num_classes(config))
    variables = initial_variables(
        assembly.variables,
        seed=config.seed,
        foreground_prior=config.get("foreground_prior"),
    )
    training = make_training(config, assembly, variables, mesh)
    batch = meshes.place_batch(task.blank_batch(config), mesh)
    step = compile_step(training, batch).step
    state, _ = jax.block_until_ready(step(training.state, batch))
    start = time.monotonic()
    for _ in range(_TIMED_STEPS):
        state, _ = step(state, batch)
    jax.block_until_ready(state)
    return Cost(
        params=assembly.params,
        multiply_adds=assembly.multiply_adds,
        memory_gb=footprint(step).total / 1e9,
        steps=config.steps,
        seconds_of_step=(time.monotonic() - start) / _TIMED_STEPS,
    )
